"""Settings are frozen, closed and checked, from Python as from a recipe."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from limbeck.core.settings import settings
from limbeck.methods.kd import KD


@settings
class Inner:
    share: Annotated[float, Field(ge=0, le=1)] = 0.5


@settings
class Outer(Inner):
    count: int
    inner: Inner = Inner()


def test_values_and_defaults() -> None:
    made = Outer(count=2)
    assert (made.count, made.share, made.inner) == (2, 0.5, Inner(share=0.5))
    assert made == Outer(count=2)
    assert made != Outer(count=3)
    assert hash(made) == hash(Outer(count=2))


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({}, "count"),
        ({"count": "many"}, "count"),
        ({"count": 1.5}, "count"),
        ({"count": 1, "share": 2}, "share"),
        ({"count": 1, "share": float("nan")}, "share"),
        ({"count": 1, "inner": {"share": -1}}, "inner.share"),
    ],
)
def test_a_wrong_value_is_refused_when_built_from_python(arguments: dict, where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer(**arguments)
    assert [".".join(str(part) for part in error["loc"]) for error in caught.value.errors()] == [where]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_number_is_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        KD(temperature=value)


def test_an_unknown_key_is_refused_from_python_and_from_json() -> None:
    with pytest.raises(ValidationError, match="cuont"):
        Outer(count=1, cuont=2)
    with pytest.raises(ValidationError, match="cuont"):
        TypeAdapter(Outer).validate_json('{"count": 1, "cuont": 2}', strict=True)
    with pytest.raises(ValidationError, match="shre"):
        TypeAdapter(Outer).validate_json('{"count": 1, "inner": {"shre": 2}}', strict=True)


def test_json_is_strict_about_types() -> None:
    assert TypeAdapter(Outer).validate_json('{"count": 1, "share": 1}', strict=True) == Outer(count=1, share=1.0)
    with pytest.raises(ValidationError):
        TypeAdapter(Outer).validate_json('{"count": "1"}', strict=True)
    with pytest.raises(ValidationError):
        TypeAdapter(KD).validate_json('{"temperature": true}', strict=True)


def test_arguments_have_names_and_stay_as_they_are() -> None:
    with pytest.raises((ValidationError, TypeError)):
        Inner(0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Inner().share = 0.1
