from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.core.errors import RecipeError
from limbeck.recipe.resolve import resolve
from limbeck.reproduce.experiment import Scale
from limbeck.sweep.planning import Asked, Planned, planned
from reproduce.small import SMALL, recipe

SCALE = Scale((0, 1), quick=True)


def made(folder: Path, *asked: Asked) -> Planned:
    return planned(asked or SMALL.runs(SCALE), seeds=SCALE.seeds, root=folder / "runs", folder=folder / "recipes")


def test_one_run_per_seed_unless_it_says_otherwise(tmp_path: Path) -> None:
    labelled = made(tmp_path).labelled
    assert {label: [run.seed for run in runs] for label, runs in labelled.items()} == {
        "distilled": [0, 1],
        "teacher": [0],
        "alone": [0, 1],
        "longer": [0, 1],
    }
    assert labelled["longer"][0].recipe.train.optimizer.lr == 0.02
    assert labelled["alone"][0].recipe.train.optimizer.lr == 0.01


def test_every_run_comes_once_and_after_those_that_it_needs(tmp_path: Path) -> None:
    found = made(tmp_path)
    hashes = [run.hash for run in found.ordered]
    assert len(hashes) == len(set(hashes)) == 7
    for run in found.ordered:
        assert all(hashes.index(before.hash) < hashes.index(run.hash) for before in run.before())
    (teacher,) = found.labelled["teacher"]
    assert found.labelled["distilled"][0].upstream["teacher"].hash == teacher.hash


def test_recipes_given_as_data_are_files_that_a_person_can_run(tmp_path: Path) -> None:
    made(tmp_path)
    found = resolve(tmp_path / "recipes" / "distilled.yaml")
    assert found.recipe.models["teacher"].recipe == str(tmp_path / "recipes" / "teacher.yaml")


def test_a_shipped_recipe_by_name(tmp_path: Path) -> None:
    found = made(tmp_path, Asked("kd", "digits/kd", {"method.temperature": 2.0}, seeds=(3,)))
    assert [run.name for run in found.ordered] == ["digits-teacher", "digits-kd"]
    assert found.labelled["kd"][0].recipe.method.temperature == 2.0
    assert found.labelled["kd"][0].seed == 3


def test_what_trains_nothing_has_no_baseline(tmp_path: Path) -> None:
    given = {**recipe("1 epochs", 8), "models": {"student": {"from": "digits/teacher"}}, "method": "as_is"}
    found = made(tmp_path, Asked("given", given, baseline=True), Asked("kd", "digits/kd", baseline=True))
    assert list(found.baselines) == ["kd"]


def test_another_process_finds_every_run(tmp_path: Path) -> None:
    found = made(tmp_path)
    for run in found.ordered:
        other = found.references[run.hash].find()
        assert (other.hash, other.folder, other.seed) == (run.hash, run.folder, run.seed)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([Asked("a", "digits/kd"), Asked("a", "digits/teacher")], "twice under the label 'a'"),
        ([Asked("a/b", recipe("1 epochs", 4))], "'a/b' becomes a file's name"),
        ([Asked("a", "digits/kid")], "no shipped recipe 'digits/kid'"),
        ([Asked("a", {**recipe("1 epochs", 4), "metod": "kd"})], "metod"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(tmp_path: Path, asked: list[Asked], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(tmp_path, *asked)
