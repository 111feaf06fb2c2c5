"""Training curves: validation accuracy and every loss term over epochs, for every run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from limbeck.recipe.results import LABELS, Entry, Results, Role
from limbeck.report.drawing import LOOKS, MUTED, Panel, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 160
_WIDE = 20.0
_THREE_DECADES = 1e3

Curve = Sequence[tuple[float, float]]
"""(epoch, value) by epoch."""
Pick = Callable[[Mapping[str, Any]], float | None]


def panels(results: Results) -> list[Panel]:
    """Validation accuracy, if it was looked at, and a panel per loss term and observation; empty without any curve."""
    found = [_panel(results, "Validation accuracy", "accuracy", _validation, _draw_accuracy)]
    observed = {name for entry in results.entries for line in entry.curves for name in line.get("observed", {})}
    for term in sorted(_terms(results.entries), key=observed.__contains__):  # what is added up comes first
        kind = "Observed" if term in observed else "Loss term"
        title = "Label loss (task)" if term == "task" else f"{kind}: {term}"
        found.append(_panel(results, title, f"term-{term}", partial(_term, term), _draw_loss))
    return [panel for panel in found if panel is not None]


def _panel(
    results: Results, title: str, name: str, pick: Pick, draw: Callable[[Axes, Mapping[Role, list[Curve]]], None]
) -> Panel | None:
    curves = {role: [_curve(entry, pick) for entry in results.of(role)] for role in LABELS}
    curves = {role: [curve for curve in several if curve] for role, several in curves.items()}
    curves = {role: several for role, several in curves.items() if several}
    if not any(epoch for several in curves.values() for curve in several for epoch, _ in curve):  # nothing was trained
        return None

    def drawn(axes: Axes) -> None:
        draw(axes, curves)
        _mark_stages(axes, results)
        axes.set_xlabel("epoch")

    ends = "; ".join(f"{LABELS[role]} ends at {_end(several):.4g}" for role, several in curves.items())
    return Panel(title, chart(drawn, name=f"curve-{name}", label=f"{title} over epochs. {ends}."))


def _terms(entries: Sequence[Entry]) -> list[str]:
    """The names of all loss terms and of what was observed; the label term first, the others as they were met."""
    names = dict.fromkeys(name for entry in entries for line in entry.curves for name in _numbers(line))
    return sorted(names, key=lambda name: name != "task")


def _validation(line: Mapping[str, Any]) -> float | None:
    return line.get("validation", {}).get("accuracy")


def _term(name: str, line: Mapping[str, Any]) -> float | None:
    return _numbers(line).get(name)


def _numbers(line: Mapping[str, Any]) -> Mapping[str, float]:
    return {**line.get("terms", {}), **line.get("observed", {})}


def _curve(entry: Entry, pick: Pick) -> Curve:
    """The values by epoch; the later of two at the same place counts."""
    values = {float(line["epoch"]): value for line in entry.curves if (value := pick(line)) is not None}
    return _thinned(sorted(values.items()))


def _thinned(curve: Curve) -> Curve:
    """At most some hundred points: neighbours are averaged, the last one stays."""
    stride = -(-len(curve) // _POINTS)
    if stride <= 1:
        return curve
    chunks = [curve[start : start + stride] for start in range(0, len(curve) - 1, stride)]
    means = [(chunk[-1][0], statistics.fmean(value for _, value in chunk)) for chunk in chunks]
    return [*[point for point in means if point[0] < curve[-1][0]], curve[-1]]


def _mean(curves: Sequence[Curve]) -> Curve:
    """The mean where every seed has a value."""
    tables = [dict(curve) for curve in curves]
    shared = sorted(set.intersection(*(set(table) for table in tables)))
    return [(epoch, statistics.fmean(table[epoch] for table in tables)) for epoch in shared]


def _end(curves: Sequence[Curve]) -> float:
    return statistics.fmean(curve[-1][1] for curve in curves)


def _draw_accuracy(axes: Axes, curves: Mapping[Role, list[Curve]]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    _draw_lines(axes, curves)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    values = [value for several in curves.values() for curve in several for _, value in curve]
    bottom, top = _settled(curves), max(values)
    room = max(top - bottom, 0.005) * 0.08
    axes.set_ylim(max(bottom - room, min(values) - room), min(top + room, 1.0 + room / 4))


def _settled(curves: Mapping[Role, list[Curve]]) -> float:
    """The lowest accuracy after the first fifth of each training: what comes before would flatten the rest."""
    ends = [curve[max(0, round(0.2 * len(curve)) - 1) :] for several in curves.values() for curve in several]
    return min(value for curve in ends for _, value in curve)


def _draw_loss(axes: Axes, curves: Mapping[Role, list[Curve]]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    _draw_lines(axes, curves)
    values = [value for several in curves.values() for curve in several for _, value in curve]
    if min(values) > 0 and max(values) / min(values) > _WIDE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3) if max(values) / min(values) < _THREE_DECADES else (1,)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=min(0, *values))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))


def _draw_lines(axes: Axes, curves: Mapping[Role, list[Curve]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for role, several in curves.items():
        look = LOOKS[role]
        line = (0, look.dash) if look.dash else "-"
        if len(several) > 1:
            for curve in several:
                axes.plot(*zip(*curve, strict=True), color=look.colour, linewidth=0.9, alpha=0.5)
        mean = _mean(several)
        if mean:
            # A curve of one point is a dot, or it would not be seen.
            marker = look.marker if len(mean) == 1 else ""
            axes.plot(*zip(*mean, strict=True), color=look.colour, linestyle=line, marker=marker)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.02)


def _mark_stages(axes: Axes, results: Results) -> None:
    """A line where the student's training entered its next stage."""
    students = results.of("distilled") or results.of("trained")
    for before, line in pairwise(students[0].curves if students else ()):
        if before["stage"] != line["stage"]:
            axes.axvline(before["epoch"], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
            place = (before["epoch"], 1.0)
            axes.annotate(
                line["stage"], place, (3, -2), ("data", "axes fraction"), "offset points", color=MUTED, va="top", size=9
            )
