"""A whole small experiment, from its runs to its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limbeck.core.errors import RecipeError, RunError
from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.predictions import predict
from limbeck.recipe import execute as module
from limbeck.recipe.context import Context
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.runner import Reproduced, conduct, reproduce
from limbeck.sweep import train
from reproduce.small import SMALL, Small
from running import stamps

SCALE = Scale((0, 1), quick=True)


def done(root: Path, experiment: Small = SMALL, *, jobs: int = 1) -> Reproduced:
    return conduct("small", experiment, SCALE, root=root, jobs=jobs, context=Context(progress=False))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the experiment is finished, by several processes."""
    pytest.importorskip("matplotlib", reason="the page needs the report extra")
    root = tmp_path_factory.mktemp("small") / "runs"
    done(root, jobs=2)
    return root


def test_the_outcome_says_what_was_done_and_what_came_of_it(root: Path) -> None:
    folder = root / "reproductions" / "small-quick-2seeds"
    outcome = json.loads((folder / "outcome.json").read_text())
    assert (outcome["name"], outcome["title"], outcome["paper"]) == ("small", SMALL.title, SMALL.paper)
    assert (outcome["quick"], outcome["seeds"], outcome["held"]) == (True, [0, 1], True)
    assert [claim["held"] for claim in outcome["claims"]] == [True, True]
    assert outcome["lines"][0]["paper"] == "67"
    assert len(outcome["runs"]) == 7
    for row in outcome["runs"]:
        measured = json.loads((root / row["folder"] / "evaluation.json").read_text())
        assert row["errors"] == measured["last"]["errors"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "alone.yaml",
        "distilled.yaml",
        "longer.yaml",
        "outcome.json",
        "report.html",
        "teacher.yaml",
    ]


def test_several_processes_train_the_same_networks_as_one(root: Path, tmp_path: Path) -> None:
    done(tmp_path / "runs", jobs=1)
    found = sorted((tmp_path / "runs").glob("*/student-last.safetensors"))
    assert len(found) == 7
    for path in found:  # the number of threads may differ, and with it the order of sums
        torch.testing.assert_close(load_file(path), load_file(root / path.parent.name / path.name))


def test_again_nothing_is_trained(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object, **_rest: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "fit", never)
    monkeypatch.setattr(train, "do_all", never)
    before = {name: stamp for name, stamp in stamps(root).items() if not name.startswith("reproductions/")}
    assert done(root).outcome.claims[0].held
    assert {name: stamps(root)[name] for name in before} == before


def test_a_claim_that_fails_is_in_the_outcome(root: Path) -> None:
    made = done(root, Small(most=0))
    assert not made.outcome.claims[1].held
    assert json.loads((made.folder / "outcome.json").read_text())["held"] is False
    assert ">NO<" in made.page.read_text()


def test_an_unknown_name_is_answered_with_close_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no experiment is called 'hinton2015-minst'; close: hinton2015-mnist"):
        reproduce("hinton2015-minst", SCALE, root=tmp_path, jobs=1, context=Context(progress=False))


def test_what_a_finished_run_says(root: Path) -> None:
    made = done(root)
    (teacher,) = made.done.of("teacher")
    predictions = teacher.predictions()
    assert teacher.errors() == int((predictions.logits.argmax(1) != predictions.labels).sum())
    assert teacher.accuracy() == pytest.approx(1 - teacher.errors() / len(predictions))
    assert made.done.of("distilled")[0].errors("teacher") == teacher.errors()
    assert teacher.curves
    assert teacher.seconds > 0
    again = predict(teacher.network(), evaluation_batches(teacher.data.test, batch=100))
    torch.testing.assert_close(again.logits, predictions.logits)
    with pytest.raises(RunError, match="measured no network 'frist'"):
        teacher.metrics("frist")
    with pytest.raises(RunError, match="no runs were asked for under the label 'teachr'; close: teacher"):
        made.done.of("teachr")
