"""The table: one column per network, one line per figure, the better student marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.recipe.results import Results, Row
from limbeck.report import numbers

_STUDENTS = ("alone", "distilled", "trained")


@dataclass(frozen=True)
class Cell:
    """One figure of one network.

    Args:
        text: its mean, or a dash.
        spread: the standard deviation, or the 95th percentile of a time; may be empty.
        best: whether it is the better of the two students' means.
    """

    text: str
    spread: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One figure of all networks.

    Args:
        name: of the figure.
        hint: its unit, its direction, how it is counted.
        cells: in the order of the columns.
    """

    name: str
    hint: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Group:
    """Lines under a common heading."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class _Metric:
    key: str
    name: str
    hint: str
    write: Callable[[float], str]
    higher: bool


def _fixed(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


_QUALITY = (
    _Metric("accuracy", "Accuracy", "higher is better", numbers.percent, higher=True),
    _Metric("errors", "Errors", "images", numbers.count, higher=False),
    _Metric("top5", "Top-5 accuracy", "higher is better", numbers.percent, higher=True),
    _Metric("nll", "Negative log-likelihood", "nats, lower is better", _fixed(4), higher=False),
    _Metric("ece", "Calibration error (ECE)", "15 bins, lower is better", numbers.percent, higher=False),
    _Metric("brier", "Brier score", "0 to 2, lower is better", _fixed(4), higher=False),
)
_LIKENESS = (
    _Metric("agreement", "Agreement", "same class first", numbers.percent, higher=True),
    _Metric("kl", "KL(teacher ‖ network)", "nats", _fixed(4), higher=False),
)


def groups(results: Results) -> list[Group]:
    """All lines for which there is at least one figure."""
    rows = results.rows()
    found = [
        Group("Quality", [_metric(metric, rows) for metric in _QUALITY]),
        Group("Likeness to the teacher", [_metric(metric, rows) for metric in _LIKENESS]),
        Group("Cost", _costs(rows)),
    ]
    kept = [Group(group.title, [line for line in group.lines if _says_something(line)]) for group in found]
    return [group for group in kept if group.lines]


def _says_something(line: Line) -> bool:
    return any(cell.text != numbers.NOTHING for cell in line.cells)


def _metric(metric: _Metric, rows: Sequence[Row]) -> Line:
    best = _best(metric, rows)
    cells = []
    for row in rows:
        if metric.key not in row.mean:
            cells.append(Cell(numbers.NOTHING))
            continue
        spread = f"± {metric.write(row.std[metric.key])}" if metric.key in row.std else ""
        cells.append(Cell(metric.write(row.mean[metric.key]), spread, best=row.role == best))
    return Line(metric.name, metric.hint, cells)


def _best(metric: _Metric, rows: Sequence[Row]) -> str | None:
    """The student with the better mean; None without two students, or when both are written alike."""
    students = [row for row in rows if row.role in _STUDENTS and metric.key in row.mean]
    if len(students) < 2 or len({metric.write(row.mean[metric.key]) for row in students}) == 1:
        return None
    choose = max if metric.higher else min
    return choose(students, key=lambda row: row.mean[metric.key]).role


def _costs(rows: Sequence[Row]) -> list[Line]:
    return [
        _cost("Parameters", "", rows, "parameters", lambda value: f"{value:,}"),
        _cost("FLOPs", "one image; 2 per multiply-accumulate", rows, "flops", numbers.short),
        _cost("Weights", "as stored", rows, "weight_bytes", numbers.size),
        *_per_batch("Latency", rows, "latency", _time),
        *_per_batch("Peak memory", rows, "peak_memory", lambda item: Cell(numbers.size(item["bytes"]))),
    ]


def _cost(name: str, hint: str, rows: Sequence[Row], key: str, write: Callable[[Any], str]) -> Line:
    return Line(name, hint, [Cell(write(row.cost[key]) if row.cost.get(key) else numbers.NOTHING) for row in rows])


def _per_batch(name: str, rows: Sequence[Row], key: str, write: Callable[[Mapping[str, Any]], Cell]) -> list[Line]:
    """One line for each batch size that any network was measured with."""
    found = [{item.get("batch", 1): item for item in row.cost.get(key) or ()} for row in rows]
    return [
        Line(
            name,
            "one image" if batch == 1 else f"batch of {batch}",
            [write(items[batch]) if batch in items else Cell(numbers.NOTHING) for items in found],
        )
        for batch in sorted({batch for items in found for batch in items})
    ]


def _time(item: Mapping[str, Any]) -> Cell:
    slow = f"({numbers.significant(item['p95_ms'])})" if "p95_ms" in item else ""
    return Cell(f"{numbers.significant(item['median_ms'])} ms", slow)
