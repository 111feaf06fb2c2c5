"""Accuracy against cost."""

from __future__ import annotations

import dataclasses

from limbeck.recipe.results import Results
from limbeck.report import tradeoff


def test_a_panel_per_cost(distilled: Results) -> None:
    titles = [panel.title for panel in tradeoff.panels(distilled)]
    assert titles == ["Accuracy against parameters", "Accuracy against FLOPs", "Accuracy against latency"]


def test_a_cost_that_one_network_lacks_is_not_drawn(distilled: Results) -> None:
    first, *rest = distilled.entries
    entries = [dataclasses.replace(first, cost={**first.cost, "latency": []}), *rest]
    titles = [panel.title for panel in tradeoff.panels(dataclasses.replace(distilled, entries=entries))]
    assert "Accuracy against latency" not in titles


def test_a_single_network_trades_nothing(alone: Results) -> None:
    assert tradeoff.panels(alone) == []


def test_ticks_are_round_and_short() -> None:
    ticks = [tradeoff._tick(value) for value in (0.05, 500, 1000, 20_000, 5e6, 1e9)]
    assert ticks == ["0.05", "500", "1k", "20k", "5M", "1G"]
