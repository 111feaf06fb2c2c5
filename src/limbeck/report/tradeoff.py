"""Accuracy against what it costs: parameters, operations, and the time of one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from limbeck.recipe.results import Results, Role, Row
from limbeck.report import numbers
from limbeck.report.drawing import LOOKS, MUTED, Panel, chart
from limbeck.report.facts import single_latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 4.0


def panels(results: Results) -> list[Panel]:
    """One panel per cost that is known of every network; empty for a single network, which trades nothing."""
    if len(results.rows()) < 2:
        return []
    found = [
        _panel(results, "Accuracy against parameters", "parameters", lambda row: row.cost.get("parameters")),
        _panel(results, "Accuracy against FLOPs", "FLOPs for one image", lambda row: row.cost.get("flops")),
        _panel(results, "Accuracy against latency", "ms for one image", single_latency),
    ]
    return [panel for panel in found if panel is not None]


def _panel(results: Results, title: str, unit: str, cost: Callable[[Row], float | None]) -> Panel | None:
    costs = {row.role: value for row in results.rows() if (value := cost(row))}
    if len(costs) < len(results.rows()):
        return None
    words = "; ".join(
        f"{row.label}: {numbers.percent(row.mean['accuracy'])} at {numbers.short(costs[row.role])} {unit}"
        for row in results.rows()
    )
    svg = chart(lambda axes: _draw(axes, results, costs, unit), name=title, label=f"{title}. {words}.")
    return Panel(title, svg)


def _draw(axes: Axes, results: Results, costs: dict[Role, float], unit: str) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    rows = {row.role: row for row in results.rows()}
    for role, row in rows.items():
        look, x = LOOKS[role], costs[role]
        seeds = [entry.metrics["accuracy"] for entry in results.of(role)]
        if len(seeds) > 1:
            axes.plot([x] * len(seeds), seeds, look.marker, color=look.colour, markersize=6, alpha=0.7, mew=0)
        axes.plot([x], [row.mean["accuracy"]], look.marker, color=look.colour, markersize=11, mew=0)
    if {"alone", results.taught} <= set(rows):
        students = [(costs[role], rows[role].mean["accuracy"]) for role in ("alone", results.taught)]
        axes.plot(*zip(*students, strict=True), color=MUTED, linewidth=1, zorder=1)
    axes.margins(y=0.15)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel(unit)
    scale(axes, list(costs.values()))


def scale(axes: Axes, costs: list[float]) -> None:
    """Logarithmic when the networks are far apart; wide enough for at least two round numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = min(costs), max(costs)
    if high / low >= _WIDE:
        axes.set_xscale("log")
        axes.set_xlim(low / 2.2, high * 2.2)
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if high / low > 50 else (1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, high * 1.25)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: _tick(value)))


def _tick(value: float) -> str:
    if value >= 1000:
        size, prefix = next((s, p) for s, p in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= s)
        return f"{value / size:g}{prefix}"
    return f"{value:g}"
