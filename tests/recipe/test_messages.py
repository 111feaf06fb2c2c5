from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from limbeck.recipe.messages import messages, shown
from limbeck.recipe.yaml import Mark, node_of


def said(annotation: Any, data: Any) -> list[tuple[Any, str]]:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_python(data, strict=True)
    return list(messages(caught.value.errors(), node_of(data, Mark())))


@pytest.mark.parametrize(
    ("annotation", "data", "expected"),
    [
        (float, "x", [((), "expected a number, came 'x'")]),
        (int | list[int], "x", [((), "expected a whole number or a list, came 'x'")]),
        (dict[str, int], {"a": 1, "b": "x"}, [(("b",), "expected a whole number, came 'x'")]),
        (list[int | None], [1, "x"], [((1,), "expected a whole number, came 'x'")]),
        (Annotated[int, Field(le=3)], 4, [((), "expected a number less than or equal to 3, came 4")]),
        (Annotated[int, Field(multiple_of=3)], 4, [((), "expected a multiple of 3, came 4")]),
        (Literal["mean", "none"], "meen", [((), "expected 'mean' or 'none', came 'meen'; close: mean")]),
        (Literal["mean", "none"], 3, [((), "expected 'mean' or 'none', came 3")]),
        (Annotated[list[int], Field(min_length=2)], [1], [((), "expected at least 2 item(s), came [1]")]),
    ],
)
def test_messages(annotation: Any, data: Any, expected: list[tuple[Any, str]]) -> None:
    assert said(annotation, data) == expected


def test_values_are_shown_as_written_and_short() -> None:
    assert shown(True) == "true"
    assert shown(None) == "null"
    assert shown("é") == "'é'"
    assert len(shown("x" * 1000)) == 60
