"""Networks with early exits that differ in their thresholds alone: each costs what its own images take."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from compare.compared import done
from running import write

EARLY = """\
data: {name: digits, batch: 64, validation: 0.4}
models: {student: {name: cnn, width: 4, depth: 3}}
method: {name: byot, delivers: early_exit, cost: 0.9}
train: {length: 2 epochs, optimizer: {name: adamw, lr: 1e-2}}
report: false
"""

pytest.importorskip("matplotlib", reason="pages need the report extra")


def test_a_lower_cost_is_a_lower_cost(tmp_path: Path) -> None:
    folder = write(tmp_path, {"early.yaml": EARLY})
    comparison, _ = done(folder, "early.yaml", over=("method.cost=0.6,1.0",))
    _alone, cheap, dear = comparison.students
    assert cheap.cost["flops"] < 0.8 * dear.cost["flops"]
    for row in (cheap, dear):
        folders = [run.folder for run in row.contestant.runs]
        exits = [json.loads((one / "exits.json").read_text())["early"] for one in folders]
        assert row.cost["flops"] == round(fmean(round(one["flops"]) for one in exits))
        assert row.latency == pytest.approx(fmean(one["mean_ms"] for one in exits))


def test_seeds_that_share_one_network_are_told(tmp_path: Path) -> None:
    again = (
        "extends: early.yaml\nmodels: {student: {from: {recipe: early.yaml}}}\nmethod: {name: early_exit, cost: 0.9}\n"
        "evaluate: {latency: false}\n"
    )
    folder = write(tmp_path, {"early.yaml": EARLY, "again.yaml": again})
    comparison, _ = done(folder, "again.yaml", over=("method.cost=0.7,1.0",))
    assert any("several seeds have the same network" in note for note in comparison.notes)
    own, _ = done(folder, "again.yaml", over=("models.student.from.seed=inherit",))
    assert not any("several seeds have the same network" in note for note in own.notes)
