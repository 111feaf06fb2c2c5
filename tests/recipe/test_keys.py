from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from limbeck.core.settings import settings
from limbeck.export import FORMATS
from limbeck.recipe.keys import Key, allowed, keys_of
from limbeck.recipe.schema import Recipe
from limbeck.train.settings import Train


@settings
class Below:
    """Beneath.

    Args:
        depth: in metres.
    """

    depth: float = 1.0


@settings
class Own(Below):
    """On top.

    Args:
        colour: which one,
            of two.
        often: how often.

    Raises:
        ValueError: never.
    """

    colour: Literal["red", "blue"] = "red"
    often: Annotated[int, Field(ge=1)]
    silent: int = 0


def test_a_key_has_its_default_its_values_and_its_meaning() -> None:
    assert keys_of(Own) == [
        Key("depth", "1.0", "number", "in metres."),
        Key("colour", "red", "red, blue", "which one, of two."),
        Key("often", "required", "whole number, at least 1", "how often."),
    ]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (bool, "true, false"),
        (Annotated[float, Field(ge=0, le=1)], "number, 0 to 1"),
        (Annotated[float, Field(ge=0, lt=1)], "number, at least 0, below 1"),
        (Annotated[float, Field(gt=0)], "number, above 0"),
        (Annotated[int, Field(ge=2)] | None, "whole number, at least 2; or null"),
        (tuple[str, ...], "list; each: text"),
        (tuple[float, float], "list of 2; each: number"),
        (Literal[1, 3] | None, "1, 3; or null"),
        (bool | Literal["auto"], "true, false; or auto"),
        (Below, ""),
        (Below | None, "mapping; or null"),
        (tuple[Below, ...], "list"),
        (
            Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)],
            "list, not empty; each: whole number, at least 1",
        ),
        (Annotated[str, Field(examples=["30 epochs"])], "text, such as 30 epochs"),
        (dict[str, float], ""),
        (Any, ""),
    ],
)
def test_what_a_type_allows_in_words(hint: Any, words: str) -> None:
    assert allowed(hint) == words


def test_classes_that_are_chosen_by_name_are_called_by_it() -> None:
    found = {key.name: (key.default, key.allowed) for key in keys_of(Train)}
    assert found["optimizer"] == ("sgd", "sgd, adam, adamw, rmsprop, lars, lamb")
    assert found["teacher_outputs"] == ("live", "live, cached")
    recipe = {key.name: key for key in keys_of(Recipe)}
    assert recipe["task"].default == "classification"
    assert recipe["train"].default == "{}"
    assert all(name in recipe["export"].meaning for name in FORMATS)
