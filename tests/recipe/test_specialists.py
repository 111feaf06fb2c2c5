"""Specialists from a recipe: their classes, their start, what they answer together, and one network that learned it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.adapters.specialists import Specialists
from limbeck.cli.pipeline import experiment
from limbeck.core.bridge import Bridge
from limbeck.core.errors import DataError, LimbeckError, ModelError
from limbeck.data.special import DUSTBIN
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.context import Context
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run
from limbeck.recipe.networks import join
from running import only, run, write

GENERALIST = """\
data: {name: digits, batch: 64, validation: 200}
models: {student: {name: mlp, hidden: [16]}}
method: supervised
train: {length: 4 epochs, optimizer: {name: adamw, lr: 1e-2}}
evaluate: {latency: false}
report: false
"""

SPECIALIST = """\
extends: generalist.yaml
data: {special: {classes: {cluster: 0, of: 4, size: 3}}}
models: {student: {from: {recipe: generalist.yaml, head: refitted}}}
train: {length: 6 epochs}
"""

TOGETHER = """\
extends: generalist.yaml
models:
  teacher:
    generalist: {from: generalist.yaml}
    specialists:
      - {from: specialist.yaml}
      - {from: {recipe: specialist.yaml, set: {data.special.classes.cluster: 1}}}
      - {from: {recipe: specialist.yaml, set: {data.special.classes.cluster: 2}}}
      - {from: {recipe: specialist.yaml, set: {data.special.classes.cluster: 3}}}
method: {name: kd, temperature: 2.0, hard_weight: 0.0}
train: {length: 2 epochs, teacher_outputs: {name: cached, dtype: float32}}
"""

RECIPES = {"generalist.yaml": GENERALIST, "specialist.yaml": SPECIALIST, "together.yaml": TOGETHER}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs, from one command."""
    folder = write(tmp_path_factory.mktemp("specialists"), RECIPES)
    run(folder / "together.yaml")
    return folder


def planned(folder: Path, name: str, *overrides: str) -> Run:
    return experiment(folder / f"{name}.yaml", overrides, root=folder / "runs").runs[0]


def said(folder: Path, name: str) -> Predictions:
    return Predictions.load(only(folder / "runs", name) / "predictions-best.safetensors")


def specialists(folder: Path) -> list[Run]:
    return [planned(folder, "specialist", f"data.special.classes.cluster={number}") for number in range(4)]


def test_clusters_cover_the_digits(done: Path) -> None:
    described = [RunFolder(one.folder).read("network.json")["classes"] for one in specialists(done)]
    assert [len(classes) for classes in described] == [4] * 4
    assert all(classes[-1] == DUSTBIN for classes in described)
    assert {name for classes in described for name in classes[:-1]} == {str(digit) for digit in range(10)}


def test_a_specialist_starts_as_the_generalist(done: Path) -> None:
    one = specialists(done)[0]
    context = Context()
    data = context.dataset(one)
    start = join(one, "student", data, frozen=False).network.eval()
    images = data.test.pixels_at(torch.arange(50)).float() / 255
    with torch.no_grad():
        found = start(images)
        general = join(planned(done, "together"), "teacher", context.dataset(planned(done, "generalist")), frozen=True)
        all_classes = general.network.generalist.eval()(images)
    own = [int(name) for name in data.classes[:-1]]
    torch.testing.assert_close(found[:, :-1], all_classes[:, own])
    assert isinstance(start, Bridge)
    torch.testing.assert_close(start.train()(images), found + start.prior)
    assert start.prior.tolist()[:-1] == [0.0] * 3
    assert start.prior[-1] < 0


def test_together_they_answer_as_the_stored_answers_say(done: Path) -> None:
    """The teacher's predictions are those of its members, found again from their files."""
    from limbeck.adapters.specialists import combined

    together = Predictions.load(only(done / "runs", "together") / "predictions-teacher.safetensors")
    general = said(done, "generalist")
    runs = specialists(done)
    subsets = [[int(name) for name in RunFolder(one.folder).read("network.json")["classes"][:-1]] for one in runs]
    members = [Predictions.load(one.folder / "predictions-best.safetensors") for one in runs]
    assert all(torch.equal(one.ids, general.ids) for one in [together, *members])
    found = combined(general.logits, lambda member, rows: members[member].logits[rows], subsets=subsets)
    torch.testing.assert_close(together.logits, found, atol=1e-4, rtol=1e-4)
    assert (found.argmax(1) != general.logits.argmax(1)).any()


def test_the_distilled_network_knows_all_classes(done: Path) -> None:
    classes = RunFolder(planned(done, "together").folder).read("network.json")["classes"]
    assert classes == [str(digit) for digit in range(10)]


def test_the_teacher_is_rebuilt_from_its_runs(done: Path) -> None:
    one = planned(done, "together")
    network = join(one, "teacher", Context().dataset(one), frozen=True).network
    assert isinstance(network, Specialists)
    assert sorted(one.upstream) == ["teacher.0", "teacher.1", "teacher.2", "teacher.3", "teacher.generalist"]
    assert {number for subset in network.subsets for number in subset} == set(range(10))


@pytest.mark.parametrize(
    ("recipe", "override", "error", "text"),
    [
        ("specialist", "models.student={name: mlp}", DataError, r"expected a student that knows them.*from: RECIPE"),
        ("specialist", "models.student={from: generalist.yaml}", ModelError, r"no output for 1 of 4.*head: refitted"),
        ("specialist", "data.special.classes.size=2", ModelError, "4 specialists with 2 classes each cannot cover 10"),
        ("specialist", "data.special.classes=[3, x]", LimbeckError, "expected"),
        ("together", "models.teacher.specialists=[{from: generalist.yaml}]", ModelError, "expected a specialist, with"),
        ("together", "models.student={generalist: mlp, specialists: [mlp]}", ModelError, "it cannot be trained"),
    ],
)
def test_what_does_not_fit_together_is_said(
    done: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, override: str, error: type[LimbeckError], text: str
) -> None:
    monkeypatch.chdir(done)
    with pytest.raises(error, match=text):
        run(done / f"{recipe}.yaml", override)


def test_before_anything_is_trained_shapes_are_known(tmp_path: Path) -> None:
    """A preflight of the whole chain, and a problem of the last run, found before the first is trained."""
    write(tmp_path, RECIPES)
    with pytest.raises(ModelError, match="4 specialists with 2"):
        run(tmp_path / "together.yaml", "models.teacher.specialists.0.from.set={data.special.classes.size: 2}")
