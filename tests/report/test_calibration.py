"""Reliability diagrams."""

from __future__ import annotations

from limbeck.recipe.results import Results
from limbeck.report import calibration


def test_a_diagram_per_network(distilled: Results) -> None:
    panels = calibration.panels(distilled)
    assert [panel.title for panel in panels] == ["Teacher", "Student alone", "Student distilled"]
    teacher = distilled.of("teacher")[0].metrics["ece"]
    assert panels[0].aside == f"ECE {teacher:.2%}"


def test_seeds_are_pooled(distilled: Results) -> None:
    entries = distilled.of("distilled")
    assert len(calibration.pooled(entries)) == sum(len(entry.predictions) for entry in entries)
