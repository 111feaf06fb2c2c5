from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from limbeck.cli.pipeline import experiment
from limbeck.cli.table import show
from limbeck.recipe.collect import collect
from limbeck.recipe.context import Context
from limbeck.recipe.results import Results


def printed(results: Results, *, report: Path | None = None) -> str:
    text = io.StringIO()
    show(results, Console(file=text, width=120), report=report)
    return text.getvalue()


def collected(lab: Path) -> Results:
    planned = experiment(lab / "kd.yaml", root=lab / "runs")
    return collect(planned.runs, planned.baselines, Context())


def test_a_column_per_role_and_a_dash_where_there_is_no_figure(lab: Path) -> None:
    results = collected(lab)
    shown = printed(results, report=Path("runs/report.html"))
    (agreement,) = [line.split() for line in shown.splitlines() if line.startswith("agrees with the teacher")]
    assert agreement[4] == "–"
    assert agreement[-2] == f"{100 * results.of('distilled')[0].metrics['agreement']:.2f}"
    (accuracy,) = [line.split() for line in shown.splitlines() if line.startswith("test accuracy")]
    assert accuracy[2::2] == [f"{100 * entry.metrics['accuracy']:.2f}" for entry in results.entries]
    assert "ms a batch" not in shown
    assert shown.splitlines()[-1] == "Report: runs/report.html"


def test_figures_of_validation_images_are_not_called_test_figures(lab: Path) -> None:
    results = collected(lab)
    dataset = replace(results.dataset, validation=results.dataset.test, test=None)
    shown = printed(replace(results, dataset=dataset))
    assert "validation accuracy" in shown
    assert "validation errors" in shown
    assert "test accuracy" not in shown
    assert "Note: there is no test split." in shown
    assert "Note: there is no test split." not in printed(results)


def test_several_seeds_show_their_spread(lab: Path) -> None:
    results = collected(lab)
    (one,) = results.of("distilled")
    other = replace(one, seed=1, metrics={name: value + 0.01 for name, value in one.metrics.items()})
    shown = printed(replace(results, entries=[*results.entries, other]))
    assert "mean ± std of 2 seeds" in shown
    assert f"{100 * one.metrics['accuracy'] + 0.5:.2f} ± 0.71 %" in shown


def test_latency_exports_and_notes_are_shown(lab: Path) -> None:
    results = collected(lab)
    timing = {"batch": 32, "median_ms": 1.25, "p95_ms": 2.5}
    entries = [replace(entry, cost={**entry.cost, "latency": [timing]}) for entry in results.entries]
    exported = {"path": "runs/student.onnx", "max_difference": 2.5e-7, "median_ms": 0.125}
    shown = printed(replace(results, entries=entries, exports=[exported], notes=["it is bridged"]))
    assert "ms a batch of 32 (p95)" in shown
    assert "1.25 (2.5)" in shown
    assert "runs/student.onnx: largest difference from the live network 2.5e-07, 0.125 ms an image" in shown
    assert "Note: it is bridged" in shown
