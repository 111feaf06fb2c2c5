from __future__ import annotations

import pytest
from pydantic import ValidationError

from limbeck.data.digits import Digits
from limbeck.methods.kd import KD
from limbeck.recipe.models import Network
from limbeck.recipe.schema import Recipe
from limbeck.tasks.classification import Classification
from limbeck.train.settings import Train


def recipe(**more: object) -> Recipe:
    return Recipe(data=Digits(), models={"student": Network(name="mlp")}, method=KD(), **more)  # type: ignore[arg-type]


def test_a_recipe_can_be_written_in_python() -> None:
    made = recipe()
    assert made.task == Classification()
    assert made.train == Train()
    assert not made.baseline


def test_seeds() -> None:
    assert recipe().all_seeds == (0,)
    assert recipe(train=Train(seed=7)).all_seeds == (7,)
    assert recipe(seeds=3).all_seeds == (0, 1, 2)
    assert recipe(seeds=(5, 2)).all_seeds == (5, 2)


@pytest.mark.parametrize("wrong", [{"seeds": ()}, {"seeds": (1, 1)}, {"seeds": 0}, {"seeds": (-1,)}, {"name": ""}])
def test_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        recipe(**wrong)


def test_exports_exist_and_are_given_once() -> None:
    assert recipe(export=("onnx",)).export == ("onnx",)
    with pytest.raises(ValidationError, match="no export format is called 'onx'; close: onnx"):
        recipe(export=("onx",))
    with pytest.raises(ValidationError, match="'onnx' is given twice"):
        recipe(export=("onnx", "onnx"))
