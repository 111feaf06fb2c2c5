"""Early exits: where images leave, what that saves, and what other thresholds would have given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from limbeck.evaluate.exits import SLOWER
from limbeck.recipe.folder import EXITS
from limbeck.recipe.results import Entry, Results
from limbeck.report import numbers
from limbeck.report.confusion import student_role
from limbeck.report.drawing import LOOKS, MUTED, Panel, chart
from limbeck.report.facts import measured_part
from limbeck.report.gallery import data_uri, pixels
from limbeck.report.tradeoff import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Row:
    """An exit in the table.

    Args:
        name: "exit 1", …, "end".
        tap: the module behind which it stands.
        cells: threshold, share, accuracies, FLOPs, time.
    """

    name: str
    tap: str
    cells: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """An image that leaves somewhere.

    Args:
        source: PNG as a data URI.
        alt: for who cannot see it.
        truth: its label.
        answer: the network's.
        right: whether they agree.
    """

    source: str
    alt: str
    truth: str
    answer: str
    right: bool


@dataclass(frozen=True)
class Group:
    """Images that leave at one exit."""

    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Section:
    """The whole section.

    Args:
        lead: what the exits save, in a sentence or two.
        panels: accuracy against operations, and against time if it was measured.
        rows: the exits.
        note: how to read the table.
        groups: images, by exit; exits that nobody leaves at are left out.
    """

    lead: str
    panels: Sequence[Panel]
    rows: Sequence[Row]
    note: str
    groups: Sequence[Group]


def section(results: Results) -> Section | None:
    """Of the student's first seed; None if its run has no `exits.json`.

    Raises:
        DataError: an image cannot be read, or the data have changed since the run.
    """
    entry = results.of(student_role(results))[0]
    path = Path(entry.folder) / EXITS
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Section(
        _lead(found, results, entry), _panels(found), _rows(found), _note(found), _groups(found, results, entry)
    )


def _lead(found: Mapping[str, Any], results: Results, entry: Entry) -> str:
    early, network = found["early"], found["network"]
    before = sum(row["share"] for row in found["exits"][:-1])
    split, _ = measured_part(results)
    seed = f" (seed {entry.seed})" if len(results.of(entry.role)) > 1 else ""
    words = (
        f"{numbers.percent(before, 1)} of the {split} images leave before the end{seed}. A mean image takes "
        f"{numbers.short(early['flops'])} FLOPs, {early['flops'] / network['flops']:.0%} of the network without exits"
    )
    if early["mean_ms"] is not None:
        words += (
            f", and {numbers.significant(early['mean_ms'])} ms instead of {numbers.significant(network['mean_ms'])} ms"
        )
        words += ": that is slower, heads included" if early["mean_ms"] > SLOWER * network["mean_ms"] else ""
    if all(row["threshold"] is None for row in found["exits"]):
        words = (
            f"No exit is open{seed}: the held-out images do not show that one would reach the target, and all "
            f"{split} images take the whole network"
        )
    own, whole, together = (numbers.percent(found[key]["accuracy"]) for key in ("early", "network", "ensemble"))
    return (
        f"{words}; the accuracy is {own}, without exits {whole}{_asked(results)}, and {together} if all exits and the "
        "end are asked and averaged."
    )


def _asked(results: Results) -> str:
    """The target of the thresholds, to be held against what came of it; empty if it is no loss of accuracy."""
    method = results.recipe.get("method")
    drop = method.get("accuracy_drop") if isinstance(method, Mapping) else None
    return "" if drop is None else f" (asked for: at most {drop:g} points less)"


def _panels(found: Mapping[str, Any]) -> list[Panel]:
    panels = [_panel(found, "Accuracy against mean FLOPs", "FLOPs for one image, mean", "flops", "flops")]
    if found["early"]["mean_ms"] is not None:
        panels.append(_panel(found, "Accuracy against mean latency", "ms for one image, mean", "mean_ms", "mean_ms"))
    return panels


def _panel(found: Mapping[str, Any], title: str, unit: str, key: str, name: str) -> Panel:
    early, network = found["early"], found["network"]
    words = (
        f"With the thresholds of this network {numbers.percent(early['accuracy'])} at {numbers.short(early[key])}; "
        f"without exits {numbers.percent(network['accuracy'])} at {numbers.short(network[key])}."
    )
    svg = chart(partial(_draw, found=found, key=key, unit=unit), name=f"exits-{name}", label=f"{title}. {words}")
    caption = (
        "Circle: this network, whose thresholds were chosen on the validation split. Square: without exits. Line: one "
        "threshold for all exits, rising from left to right."
    )
    return Panel(title, svg, caption)


def _draw(axes: Axes, found: Mapping[str, Any], key: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    curve = [(point[key], point["accuracy"]) for point in found["sweep"] if point["threshold"] is not None]
    axes.plot(*zip(*curve, strict=True), color=MUTED, linewidth=1.5, marker=".", markersize=6, zorder=1)
    for look, point in ((LOOKS["teacher"], found["network"]), (LOOKS["distilled"], found["early"])):
        axes.plot([point[key]], [point["accuracy"]], look.marker, color=look.colour, markersize=11, mew=0)
    axes.margins(y=0.15)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel(unit)
    scale(axes, [cost for cost, _ in curve] + [found["network"][key], found["early"][key]])


def _rows(found: Mapping[str, Any]) -> list[Row]:
    return [Row(row["name"], row["tap"] or "", _cells(row)) for row in found["exits"]]


def _cells(row: Mapping[str, Any]) -> list[str]:
    closed = row["tap"] is not None and row["threshold"] is None
    threshold = "closed" if closed else numbers.NOTHING if row["threshold"] is None else f"{row['threshold']:.4g}"
    return [
        threshold,
        numbers.percent(row["share"], 1),
        numbers.NOTHING if row["accuracy"] is None else numbers.percent(row["accuracy"]),
        numbers.percent(row["accuracy_of_all"]),
        numbers.NOTHING if closed else numbers.short(row["flops"]),
        numbers.NOTHING if row["median_ms"] is None else f"{numbers.significant(row['median_ms'])} ms",
    ]


def _note(found: Mapping[str, Any]) -> str:
    closed = any(row["tap"] is not None and row["threshold"] is None for row in found["exits"])
    words = (
        "An image leaves at the first exit where its largest class probability reaches the threshold. FLOPs count all "
        "heads that were computed on the way."
    )
    if found["early"]["mean_ms"] is not None:
        timing, threads = found["timing"], found["timing"]["threads"]
        words += (
            f" Times: the median of single images that leave there, on {timing['device']}, {threads} "
            f"thread{'s' if threads != 1 else ''}."
        )
    return words + (" The head of a closed exit is not computed." if closed else "")


def _groups(found: Mapping[str, Any], results: Results, entry: Entry) -> list[Group]:
    places = {int(id_): place for place, id_ in enumerate(entry.predictions.ids.tolist())}
    groups = []
    for row in found["exits"]:
        ids = [id_ for id_ in row["examples"] if id_ in places]
        if not ids:
            continue
        where = "Reach the end" if row["tap"] is None else f"Leave at {row['name']}"
        images = pixels(results, torch.tensor(ids))
        pictures = [
            _picture(results, entry, places[id_], id_, data_uri(image)) for id_, image in zip(ids, images, strict=True)
        ]
        groups.append(Group(f"{where}: {numbers.percent(row['share'], 1)}", pictures))
    return groups


def _picture(results: Results, entry: Entry, place: int, id_: int, source: str) -> Picture:
    label, answer = int(entry.predictions.labels[place]), int(entry.predictions.logits[place].argmax())
    truth = results.classes[label] if label >= 0 else "unlabelled"
    return Picture(source, f"Image {id_}, {truth}", truth, results.classes[answer], answer == label)
