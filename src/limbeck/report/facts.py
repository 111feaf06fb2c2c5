"""The words of a report: the headline, the few figures beside it, and what the captions must admit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from limbeck.data.parts import Part
from limbeck.recipe.results import Results, Row
from limbeck.report import numbers


@dataclass(frozen=True)
class Headline:
    """The verdict, cut where a reader breathes.

    Args:
        judgement: the first words, without their colon; empty if the sentence has none.
        sentence: the rest.
    """

    judgement: str
    sentence: str


@dataclass(frozen=True)
class Tile:
    """A figure that sums up a column of the table.

    Args:
        value: with its unit.
        label: what it is.
        detail: what it was computed from.
    """

    value: str
    label: str
    detail: str


def headline(verdict: str) -> Headline:
    """Cut "Distilling helped: the student …" at its colon."""
    judgement, colon, sentence = verdict.partition(": ")
    if not colon:
        return Headline("", verdict)
    return Headline(judgement, sentence[:1].upper() + sentence[1:])


def tiles(results: Results) -> list[Tile]:
    """What distilling gained, and how the student compares with its teacher; as many as the results allow."""
    rows = {row.role: row for row in results.rows()}
    student = rows.get("distilled") or rows.get("trained") or rows.get("alone")
    teacher, alone = rows.get("teacher"), rows.get("alone")
    if student is None:
        return []
    split, _ = measured_part(results)
    accuracy = Tile(
        numbers.percent(student.mean["accuracy"]), f"{split} accuracy", f"{student.label}, {_seeds(student)}"
    )
    found = [accuracy]
    if alone is not None and student.role == results.taught and not results.another_network:
        found.append(_gain(student, alone, teacher))
    if teacher is None:
        return found + _sizes(student)
    return found + [tile for tile in (_smaller(student, teacher), _faster(student, teacher)) if tile]


def measured_part(results: Results) -> tuple[str, Part | None]:
    """The name of the split that everything was measured on, and its images."""
    parts = {"test": results.dataset.test, "validation": results.dataset.validation}
    return results.split, parts[results.split]


def captions(results: Results) -> list[str]:
    """What the table does not say by itself."""
    split, part = measured_part(results)
    images = f"{len(part):,} images" if part is not None else "images"
    if split == "test":
        lines = [f"Measured on the test split ({images}), by which nothing was chosen."]
    else:
        lines = [f"There is no test split: measured on the validation split ({images}), which also chose the networks."]
    lines.append(_spread(results))
    lines.append(_selection(results))
    return [line for line in lines if line]


def timing_caption(results: Results) -> str:
    """Where times and memory were measured."""
    timings = [timing for row in results.rows() for timing in row.cost.get("latency") or ()]
    if not timings:
        return ""
    first = timings[0]
    threads = f", {first['threads']} thread{'s' if first['threads'] != 1 else ''}" if "threads" in first else ""
    calls = f" of {first['calls']} calls" if "calls" in first else ""
    return f"Latency: the median{calls} (95th percentile in parentheses) on {first.get('device', 'cpu')}{threads}."


def listed(items: Iterable[object]) -> str:
    """1, 2 and 3."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _seeds(row: Row) -> str:
    return f"mean of {row.count} seeds" if row.count > 1 else "one seed"


def _gain(student: Row, alone: Row, teacher: Row | None) -> Tile:
    gain = student.mean["accuracy"] - alone.mean["accuracy"]
    detail = f"{numbers.percent(alone.mean['accuracy'])} alone"
    gap = teacher.mean["accuracy"] - alone.mean["accuracy"] if teacher is not None else 0.0
    if gap > 0 and gain > 0:
        detail += f"; {gain / gap:.0%} of the gap to the teacher"
    return Tile(f"{numbers.points(gain)} points", "over the student alone", detail)


def _smaller(student: Row, teacher: Row) -> Tile | None:
    ours, theirs = student.cost.get("parameters"), teacher.cost.get("parameters")
    if not ours or not theirs or ours == theirs:
        return None
    detail = f"{numbers.short(ours)} parameters, the teacher has {numbers.short(theirs)}"
    return Tile(*_compared(theirs / ours, "smaller than the teacher", "larger than the teacher"), detail)


def _faster(student: Row, teacher: Row) -> Tile | None:
    ours, theirs = single_latency(student), single_latency(teacher)
    same = all(student.cost.get(key) == teacher.cost.get(key) for key in ("parameters", "flops"))
    if not ours or not theirs or same:  # one network, timed twice
        return None
    detail = f"{numbers.significant(ours)} ms for one image, the teacher takes {numbers.significant(theirs)} ms"
    return Tile(*_compared(theirs / ours, "faster than the teacher", "slower than the teacher"), detail)


def _compared(factor: float, above: str, below: str) -> tuple[str, str]:
    return (numbers.ratio(factor), above) if factor >= 1 else (numbers.ratio(1 / factor), below)


def _sizes(row: Row) -> list[Tile]:
    parameters, latency = row.cost.get("parameters"), single_latency(row)
    found = [Tile(numbers.short(parameters), "parameters", row.network)] if parameters else []
    return found + ([Tile(f"{numbers.significant(latency)} ms", "latency", "one image, median")] if latency else [])


def single_latency(row: Row) -> float | None:
    """The median time of one image in ms; None if it was not measured."""
    timings = row.cost.get("latency") or ()
    return next((timing["median_ms"] for timing in timings if timing.get("batch", 1) == 1), None)


def _spread(results: Results) -> str:
    several = {row.label: results.of(row.role) for row in results.rows() if row.count > 1}
    if not several:
        if len(results.entries) == 1:
            return "One seed, so there is no spread."
        return "One seed each, so there is no spread, and small differences may be chance."
    seeds = [f"{label}: seeds {listed(entry.seed for entry in entries)}" for label, entries in several.items()]
    return f"Mean ± sample standard deviation over seeds ({'; '.join(seeds)})."


def _selection(results: Results) -> str:
    words = {"best": "the best on the validation split", "last": "those at the end of training"}
    chosen: dict[str, dict[str, None]] = {}
    for entry in results.entries:
        if entry.role != "teacher":
            chosen.setdefault(words.get(entry.selected, entry.selected), {})[entry.label] = None
    if len(chosen) == 1:
        return f"Weights: {next(iter(chosen))}."
    return f"Weights: {'; '.join(f'{which} ({listed(labels)})' for which, labels in chosen.items())}." if chosen else ""
