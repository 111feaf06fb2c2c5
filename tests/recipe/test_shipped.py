from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.core.errors import RecipeError
from limbeck.recipe import shipped
from limbeck.recipe.graph import baseline_of, plan
from limbeck.recipe.resolve import resolve


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "recipes"
    (root / "digits").mkdir(parents=True)
    (root / "digits" / "kd.yaml").write_text("# Soft targets on digits\na: 1\n")
    (root / "digits" / "at.yaml").write_text("a: 1\n")
    monkeypatch.setattr(shipped, "root", lambda: root)
    return root


def test_listing_takes_names_and_descriptions(recipes: Path) -> None:
    assert [(r.name, r.description) for r in shipped.shipped()] == [
        ("digits/at", ""),
        ("digits/kd", "Soft targets on digits"),
    ]


def test_finding_by_name_and_by_path(recipes: Path, tmp_path: Path) -> None:
    assert shipped.find("digits/kd", folder=tmp_path) == recipes / "digits" / "kd.yaml"
    assert shipped.find("kd.yaml", folder=recipes / "digits") == recipes / "digits" / "kd.yaml"
    assert shipped.reference_of(recipes / "digits" / "kd.yaml") == "digits/kd"
    assert shipped.reference_of(tmp_path / "mine.yaml") == str(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("digits/kdd", "close: digits/kd"),
        ("kd.yml", "close: kd"),
        ("nowhere/kd.yaml", "no recipe lies in"),
        ("kd", "must end in .yaml"),
    ],
)
def test_unknown_recipes_name_the_nearest(recipes: Path, reference: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        shipped.find(reference, folder=recipes / "digits")
    assert words in str(caught.value)


def test_every_shipped_recipe_says_what_it_is() -> None:
    assert all(recipe.description for recipe in shipped.shipped())


def test_a_recipe_comes_before_those_whose_names_begin_with_its_own() -> None:
    names = [recipe.name for recipe in shipped.shipped()]
    assert names == sorted(names)
    assert names.index("cifar100/byot") < names.index("cifar100/byot-early-exit")


@pytest.mark.parametrize("one", shipped.shipped(), ids=lambda one: one.name)
def test_its_runs_can_be_planned(one: shipped.Shipped, tmp_path: Path) -> None:
    run = plan(resolve(one.name), seed=0, root=tmp_path)
    every = [*run.before(), run, *([baseline_of(run)] if run.recipe.baseline else [])]
    assert all(before.recipe.method.trains or before is run for before in every)
