"""Curves: what is drawn, averaged and thinned."""

from __future__ import annotations

import dataclasses

import pytest

from limbeck.recipe.results import Results
from limbeck.report import curves


def test_one_panel_per_term_and_one_for_the_validation(distilled: Results) -> None:
    panels = curves.panels(distilled)
    assert [panel.title for panel in panels] == ["Validation accuracy", "Label loss (task)", "Loss term: kd"]
    assert "teacher" not in panels[2].svg
    assert "student distilled ends at" in panels[2].svg


def test_what_is_only_observed_is_not_called_a_loss_and_comes_last(distilled: Results) -> None:
    first = {"epoch": 0.1, "stage": "main", "observed": {"entropy": 1.0}}
    seen = [[first, *({**line, **first, "epoch": line["epoch"]} for line in one.curves)] for one in distilled.entries]
    entries = [dataclasses.replace(e, curves=lines) for e, lines in zip(distilled.entries, seen, strict=True)]
    titles = [panel.title for panel in curves.panels(dataclasses.replace(distilled, entries=entries))]
    assert titles == ["Validation accuracy", "Label loss (task)", "Loss term: kd", "Observed: entropy"]


def test_no_curve_no_panel(distilled: Results) -> None:
    entries = [dataclasses.replace(entry, curves=()) for entry in distilled.entries]
    assert curves.panels(dataclasses.replace(distilled, entries=entries)) == []


def test_a_look_at_what_is_never_trained_is_no_curve(distilled: Results) -> None:
    look = {"epoch": 0.0, "stage": "main", "validation": {"accuracy": 0.5}}
    entries = [dataclasses.replace(entry, curves=[look]) for entry in distilled.entries]
    assert curves.panels(dataclasses.replace(distilled, entries=entries)) == []


def test_stages_are_marked(distilled: Results) -> None:
    def staged(lines):
        return [{**line, "stage": "hint" if line["epoch"] < 2 else "finish"} for line in lines]

    entries = [dataclasses.replace(entry, curves=staged(entry.curves)) for entry in distilled.entries]
    assert ">finish</text>" in curves.panels(dataclasses.replace(distilled, entries=entries))[0].svg
    assert ">finish</text>" not in curves.panels(distilled)[0].svg


def test_seeds_are_averaged_where_all_have_a_value() -> None:
    one, two = [(1.0, 2.0), (2.0, 4.0)], [(1.0, 4.0), (3.0, 0.0)]
    assert curves._mean([one, two]) == [(1.0, 3.0)]


def test_long_curves_are_thinned_without_losing_their_end() -> None:
    long = [(float(n), float(n)) for n in range(1000)]
    thin = curves._thinned(long)
    assert len(thin) <= curves._POINTS + 1
    assert thin[-1] == (999.0, 999.0)
    assert [epoch for epoch, _ in thin] == sorted({epoch for epoch, _ in thin})
    assert thin[0][1] == pytest.approx(3.0)  # the mean of 0 … 6
    assert curves._thinned(long[:50]) == long[:50]
