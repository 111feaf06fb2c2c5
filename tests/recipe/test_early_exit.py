"""Networks with early exits in recipes: what they cost over seeds, used again as they are, and not trained further."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
import torch
from safetensors.torch import load_file

from limbeck.cli import pipeline
from limbeck.cli.pipeline import experiment
from limbeck.core.errors import MethodError, ModelError
from limbeck.evaluate.exits import SLOWER
from limbeck.recipe.context import Context
from running import run, write

EARLY = """\
data: {name: digits, batch: 64, validation: 0.5}
models: {student: {name: cnn, width: 6, depth: 3}}
method: {name: byot, delivers: early_exit, accuracy_drop: 8.0}
train: {length: 8 epochs, optimizer: {name: adamw, lr: 1e-2}}
seeds: 2
evaluate: {latency: true}
report: false
"""
AGAIN = """\
data: {name: digits, batch: 64}
models: {student: {from: early.yaml}}
method: as_is
evaluate: {latency: false}
report: false
"""
FURTHER = AGAIN.replace("as_is", "supervised") + "train: {length: 1 epochs, optimizer: {name: sgd, lr: 0.1}}\n"
"""The exits' weights, trained on: each image would teach only the exit at which it leaves."""
SOONER = AGAIN.replace("batch: 64", "batch: 64, validation: 0.5").replace(
    "as_is", "{name: early_exit, accuracy_drop: 90}"
)
TOGETHER = EARLY.replace("early_exit, accuracy_drop: 8.0", "ensemble").replace("seeds: 2", "seeds: 1")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(
        tmp_path_factory.mktemp("early"),
        {
            "early.yaml": EARLY,
            "again.yaml": AGAIN,
            "on.yaml": FURTHER,
            "sooner.yaml": SOONER,
            "together.yaml": TOGETHER,
        },
    )
    run(folder / "early.yaml")
    return folder


def test_the_table_shows_the_mean_cost_of_all_seeds(lab: Path) -> None:
    found = experiment(lab / "early.yaml", root=lab / "runs")
    costs = [json.loads((one.folder / "costs.json").read_text())["student"] for one in found.runs]
    exits = [json.loads((one.folder / "exits.json").read_text()) for one in found.runs]
    assert [cost["flops"] for cost in costs] == [round(one["early"]["flops"]) for one in exits]
    assert costs[0]["flops"] != costs[1]["flops"]
    assert [cost["latency"][0]["median_ms"] for cost in costs] == [one["early"]["mean_ms"] for one in exits]
    (row,) = run(lab / "early.yaml").rows()
    assert row.cost["flops"] == round(fmean(cost["flops"] for cost in costs))
    assert row.cost["latency"][0]["median_ms"] == pytest.approx(fmean(one["early"]["mean_ms"] for one in exits))


def test_a_note_says_how_many_leave_and_whether_that_saves_time(lab: Path) -> None:
    found = experiment(lab / "early.yaml", root=lab / "runs")
    exits = [json.loads((one.folder / "exits.json").read_text()) for one in found.runs]
    (note,) = (note for note in run(lab / "early.yaml").notes if "leave at exits" in note)
    leave = fmean(sum(row["share"] for row in one["exits"][:-1]) for one in exits)
    spent = fmean(one["early"]["mean_ms"] / one["network"]["mean_ms"] for one in exits)
    assert note.startswith(f"{leave:.0%} of the tested samples leave at exits before the end; ")
    assert f"a mean sample takes {spent:.0%} of the time of the same network without exits" in note
    assert ("do not pay here" in note) is (spent > SLOWER)


def test_it_can_be_measured_again_as_it_is(lab: Path) -> None:
    run(lab / "again.yaml")
    (again,) = experiment(lab / "again.yaml", root=lab / "runs").runs
    found = json.loads((again.folder / "exits.json").read_text())
    measured = json.loads((again.folder / "evaluation.json").read_text())["last"]
    assert found["early"]["accuracy"] == pytest.approx(measured["accuracy"])
    assert found["exits"][0]["share"] > 0


def test_it_is_not_trained_further(lab: Path) -> None:
    with pytest.raises(MethodError, match=r"'student' has early exits: .* so it cannot be trained; take the network"):
        run(lab / "on.yaml")


def test_another_target_needs_no_other_training(lab: Path) -> None:
    run(lab / "sooner.yaml")
    (sooner,) = experiment(lab / "sooner.yaml", root=lab / "runs").runs
    before = experiment(lab / "early.yaml", root=lab / "runs").runs[0]
    own, first = (load_file(one.folder / "student-best.safetensors") for one in (sooner, before))
    left, began = own.pop("thresholds"), first.pop("thresholds")
    torch.testing.assert_close(own, first, rtol=0, atol=0)
    assert left[0] < began[0]
    exits = json.loads((sooner.folder / "exits.json").read_text())
    assert exits["exits"][0]["share"] == 1.0  # so much accuracy may be lost that all leave at once
    assert json.loads((sooner.folder / "run.json").read_text())["steps"] == 0


def test_a_target_may_be_given_to_what_was_delivered_with_all_heads(lab: Path) -> None:
    """Its own training need not be over to see that this can be built."""
    override = f"models.student={{from: {lab / 'together.yaml'}}}"
    results = run(lab / "sooner.yaml", override)
    assert any("leave at exits" in note for note in results.notes)
    (sooner,) = experiment(lab / "sooner.yaml", [override], root=lab / "runs").runs
    assert json.loads((sooner.folder / "network.json").read_text())["facts"]["answer"] == "early"


def test_a_target_chosen_on_images_that_were_trained_on_is_noted(lab: Path) -> None:
    """Images that are held out by a larger share are those of a smaller one, and more."""
    (note,) = (note for note in run(lab / "sooner.yaml", "data.validation=0.75").notes if "by heart" in note)
    assert note.startswith("student: early was trained on 300 of the 900 images on which choices are made here")
    for known in ("data.validation=0.25", "data.validation=600", "data.batch=32"):
        assert not any("by heart" in note for note in run(lab / "sooner.yaml", known).notes)


def test_a_cost_that_cannot_be_reached_is_said_before_anything_is_trained(lab: Path, tmp_path: Path) -> None:
    override, context = "method={name: early_exit, cost: 0.01}", Context(progress=False)
    with pytest.raises(MethodError, match=r"--set method: cost: 1% of .* cannot be reached"):
        pipeline.run(lab / "sooner.yaml", [override], root=tmp_path, context=context)
    assert not list(tmp_path.glob("*/run.json"))


def test_a_network_of_several_gets_no_other_classes(lab: Path) -> None:
    override = f"models.student={{from: {{recipe: {lab / 'early.yaml'}, head: refitted}}}}"
    with pytest.raises(
        ModelError, match=r"--set models.student: models.student .*head: refitted replaces the last layer of"
    ):
        run(lab / "again.yaml", override)
