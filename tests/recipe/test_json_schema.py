from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from limbeck.methods import METHODS
from limbeck.recipe.json_schema import schema


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return schema()


def parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(item)


def test_every_reference_leads_somewhere(made: dict[str, Any]) -> None:
    references = {part["$ref"] for part in parts(made) if isinstance(part.get("$ref"), str)}
    assert "#/$defs/method" in references
    assert {reference.removeprefix("#/$defs/") for reference in references} <= made["$defs"].keys()
    assert not [part for part in parts(made) if "$comment" in part]


def test_every_method_can_be_chosen_by_name(made: dict[str, Any]) -> None:
    choice = made["$defs"]["method"]["anyOf"]
    assert choice[0] == {"enum": list(METHODS)}
    kd = made["$defs"]["method.kd"]
    assert kd["properties"]["name"] == {"const": "kd"}
    assert kd["properties"]["temperature"]["exclusiveMinimum"] == 0
    assert kd["additionalProperties"] is False


def test_nested_choices(made: dict[str, Any]) -> None:
    optimizer = made["$defs"]["recipe.Train"]["properties"]["optimizer"]["anyOf"]
    assert optimizer[0]["enum"][:2] == ["sgd", "adam"]
    items = made["$defs"]["method.compose"]["properties"]["methods"]["items"]
    assert made["$defs"][items["$ref"].removeprefix("#/$defs/")] == {"$ref": "#/$defs/method"}


def test_the_root(made: dict[str, Any]) -> None:
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"extends", "data", "models", "method", "train", "seeds"} <= made["properties"].keys()
    assert made["additionalProperties"] is False
