"""The table says what the results say."""

from __future__ import annotations

import dataclasses

from limbeck.recipe.results import Entry, Results
from limbeck.report.table import Cell, Line, groups


def line(results: Results, name: str, hint: str = "") -> Line:
    found = [line for group in groups(results) for line in group.lines if line.name == name and hint in line.hint]
    assert len(found) == 1
    return found[0]


def test_a_mean_and_its_spread(distilled: Results) -> None:
    one, two = (entry.metrics["accuracy"] for entry in distilled.of("distilled"))
    cell = line(distilled, "Accuracy").cells[2]
    assert cell.text == f"{(one + two) / 2:.2%}"
    assert cell.spread == f"± {abs(one - two) / 2**0.5:.2%}"
    assert line(distilled, "Accuracy").cells[0].spread == ""


def test_the_better_student_is_marked_in_the_right_direction(distilled: Results) -> None:
    def with_metric(entry: Entry, name: str, alone: float, under: float) -> Entry:
        value = {"alone": alone, "distilled": under, "teacher": 0.5}[entry.role]
        return dataclasses.replace(entry, metrics={**entry.metrics, name: value})

    def marks(name: str, title: str, alone: float, under: float) -> list[bool]:
        entries = [with_metric(entry, name, alone, under) for entry in distilled.entries]
        return [cell.best for cell in line(dataclasses.replace(distilled, entries=entries), title).cells]

    assert marks("accuracy", "Accuracy", 0.6, 0.7) == [False, False, True]
    assert marks("nll", "Negative log-likelihood", 0.6, 0.7) == [False, True, False]
    assert marks("nll", "Negative log-likelihood", 0.60001, 0.60002) == [False, False, False]


def test_costs(distilled: Results) -> None:
    cost = distilled.of("teacher")[0].cost
    assert line(distilled, "Parameters").cells[0] == Cell(f"{cost['parameters']:,}")
    assert "2 per multiply-accumulate" in line(distilled, "FLOPs").hint
    assert line(distilled, "Latency", "one image").cells[0].text.endswith(" ms")
    assert line(distilled, "Latency", "batch of 64").cells[0].spread.startswith("(")
    assert not any(cell.best for cell in line(distilled, "Latency", "one image").cells)


def test_a_teacher_has_no_likeness_to_itself(distilled: Results) -> None:
    assert [cell.text == "–" for cell in line(distilled, "Agreement").cells] == [True, False, False]
