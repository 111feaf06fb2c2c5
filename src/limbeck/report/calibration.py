"""Reliability diagrams: how often a network is right when it says how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from limbeck.evaluate.classification import reliability
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.results import Entry, Results, Row
from limbeck.report import numbers
from limbeck.report.drawing import LOOKS, MUTED, Panel, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 10


def panels(results: Results) -> list[Panel]:
    """One diagram per role, over the predictions of all its seeds together."""
    return [_panel(row, results.of(row.role)) for row in results.rows()]


def _panel(row: Row, entries: Sequence[Entry]) -> Panel:
    bars = reliability(pooled(entries), bins=_BINS)
    ece = numbers.percent(row.mean["ece"])
    svg = chart(
        lambda axes: _draw(axes, row, bars),
        name=f"reliability-{row.role}",
        label=f"Reliability diagram of the {row.label}: accuracy against confidence in {_BINS} bins. ECE {ece}.",
        height=300,
    )
    return Panel(row.label.capitalize(), svg, aside=f"ECE {ece}")


def pooled(entries: Sequence[Entry]) -> Predictions:
    """The predictions of several seeds, one after the other."""
    predictions = [entry.predictions for entry in entries]
    return Predictions(
        logits=torch.cat([each.logits for each in predictions]),
        labels=torch.cat([each.labels for each in predictions]),
        ids=torch.cat([each.ids for each in predictions]),
    )


def _draw(axes: Axes, row: Row, bars: Sequence[dict[str, float | int | None]]) -> None:
    from matplotlib.ticker import PercentFormatter

    colour = LOOKS[row.role].colour
    total = sum(bar["count"] or 0 for bar in bars)
    for bar in bars:
        accuracy, confidence, n = bar["accuracy"], bar["confidence"], bar["count"] or 0
        if accuracy is None or confidence is None:
            continue
        left, width = bar["lower"] or 0.0, 1 / len(bars)
        # Pale where few images stand behind a bar, so that its noise does not look like a finding.
        strength = 0.18 + 0.72 * (n / total) ** 0.35
        axes.bar(left, accuracy, width * 0.86, align="edge", color=colour, alpha=strength, linewidth=0)
        middle = left + width * 0.43
        axes.plot([middle, middle], [accuracy, confidence], color=MUTED, linewidth=1.2)
        axes.plot([left, left + width * 0.86], [confidence, confidence], color=MUTED, linewidth=1.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy", aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1))
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
