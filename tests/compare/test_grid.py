from __future__ import annotations

import pytest

from limbeck.compare.grid import RECIPE, Grid, grid
from limbeck.core.errors import RecipeError


def test_every_recipe_with_every_setting() -> None:
    made = grid(
        ["a/one", "two.yaml"], ["data.batch=32"], ["method.temperature=1,4", "models.student.hidden=[8],[8, 8]"]
    )
    asked = made.asked()
    assert list(asked)[:2] == ["a/one, temperature 1, hidden [8]", "a/one, temperature 1, hidden [8, 8]"]
    assert len(asked) == 8
    last = asked["two, temperature 4, hidden [8, 8]"]
    assert (last.recipe, last.baseline) == ("two.yaml", True)
    assert last.overrides == {"data.batch": 32, "method.temperature": 4, "models.student.hidden": [8, 8]}
    assert made.set_apart()[last.label] == {
        RECIPE: "two",
        "method.temperature": 4,
        "models.student.hidden": [8, 8],
    }


@pytest.mark.parametrize(
    ("made", "labels"),
    [
        (grid(["digits/kd"]), ["digits/kd"]),
        (grid(["digits/kd"], over=["method.temperature=1,4"]), ["temperature 1", "temperature 4"]),
        (grid(["digits/kd"], over=["a.lr=1,2", "b.lr=3"]), ["a.lr 1, b.lr 3", "a.lr 2, b.lr 3"]),
        (grid(["x/kd.yaml", "y/kd.yaml", "z.yaml"]), ["x/kd.yaml", "y/kd.yaml", "z"]),
        (grid(["kd"], over=["train.length=5 epochs,6 epochs"]), ["length 5 epochs", "length 6 epochs"]),
    ],
)
def test_labels_say_what_differs_and_no_more(made: Grid, labels: list[str]) -> None:
    assert list(made.asked()) == labels


def test_the_title_says_what_was_compared() -> None:
    made = grid(["x/kd.yaml", "digits/mlp"], over=["method.temperature=1,4"])
    assert made.title == "kd, digits/mlp · method.temperature 1, 4"


@pytest.mark.parametrize(
    ("recipes", "overrides", "over", "message"),
    [
        (["a"], [], ["method.temperature"], "--over method.temperature: expected key=value,value"),
        (["a"], [], ["method.temperature=1,1"], "each value once"),
        (["a"], [], ["method.temperature=[1"], "--set method.temperature"),
        (["a"], ["train.seed=1"], ["train.seed=1,2"], "train.seed is given twice"),
        (["a"], [], ["train.seed=1,2", "train.seed=3"], "train.seed is given twice"),
        (["a", "a"], [], [], "a is named twice; --over compares settings"),
        (["a"], ["nothing"], ["x"], "expected key.path=value"),
    ],
)
def test_what_cannot_be_read_is_refused(
    recipes: list[str], overrides: list[str], over: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message.replace("[", r"\[")):
        grid(recipes, overrides, over)
