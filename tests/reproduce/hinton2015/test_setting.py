from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe.schema import Recipe
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.hinton2015.setting import QUICK_IMAGES, alone, distilled, notes, teacher
from limbeck.sweep.planning import Asked, planned

FULL, QUICK = Scale((0, 1), quick=False), Scale((0,), quick=True)


@pytest.fixture(params=[FULL, QUICK], ids=["full", "quick"])
def scale(request: pytest.FixtureRequest) -> Scale:
    return request.param


def recipes(scale: Scale, folder: Path) -> dict[str, Recipe]:
    asked: list[Asked] = [
        teacher(scale),
        alone("alone", scale, length="3 epochs"),
        distilled("distilled", scale, length="3 epochs", data={"batch": 100}),
    ]
    plan = planned(asked, seeds=scale.seeds, root=folder / "runs", folder=folder)
    return {label: runs[0].recipe for label, runs in plan.labelled.items()}


def test_the_large_net_is_the_paper_s(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    large = recipes(scale, tmp_path)["teacher"]
    arguments = large.models["student"].arguments
    assert (list(arguments["hidden"]), arguments["dropout"], arguments["input_dropout"]) == ([1200, 1200], 0.5, 0.2)
    assert (large.data.augment.shift, large.train.max_norm) == (2, 3.5)


def test_small_nets_have_no_regularisation_and_differ_in_the_teacher_only(
    scale: Scale, tmp_path: Path, data_root: Path
) -> None:
    found = recipes(scale, tmp_path)
    for name in ("alone", "distilled"):
        assert not found[name].data.augment.shift
        assert found[name].train.optimizer.weight_decay == 0
        assert found[name].train.max_norm is None
        assert found[name].models["student"].arguments == {"hidden": [800, 800]}
    assert found["alone"].train.length == found["distilled"].train.length
    assert found["alone"].train.optimizer == found["distilled"].train.optimizer
    assert found["distilled"].method.hard_weight == 0
    assert (found["alone"].data.batch, found["distilled"].data.batch) == (200, 100)


def test_the_quick_version_uses_fewer_images_and_says_so(tmp_path: Path, data_root: Path) -> None:
    assert {recipe.data.subset for recipe in recipes(QUICK, tmp_path).values()} == {QUICK_IMAGES}
    assert {recipe.data.subset for recipe in recipes(FULL, tmp_path).values()} == {None}
    assert len(notes(QUICK)) == len(notes(FULL)) + 1
