"""The tree of exceptions, and hints that help."""

from __future__ import annotations

import inspect

import pytest

from limbeck.core import errors
from limbeck.core.errors import LimbeckError, MissingPackage, Problem, RecipeError, WeightsError, close


def classes() -> list[type]:
    found = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, Exception)]
    return [value for value in found if value.__module__ == errors.__name__]


def test_every_exception_is_in_the_tree_that_the_file_draws() -> None:
    for found in classes():
        assert issubclass(found, LimbeckError)
        assert found.__name__ in errors.__doc__
    assert issubclass(WeightsError, errors.ModelError)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("layer9", "close: layer4, layer1"), ("zzz", "known: stem, layer1, layer4"), ("", "known: stem, layer1, layer4")],
)
def test_a_hint_lists_near_names_or_all(name: str, hint: str) -> None:
    found = close(name, ["stem", "layer1", "layer4"])
    assert found.split(":")[0] == hint.split(":")[0]
    assert set(found.split(": ")[1].split(", ")) == set(hint.split(": ")[1].split(", "))


def test_a_long_list_is_cut_and_an_empty_one_says_so() -> None:
    assert close("q", [f"name{i}" for i in range(30)]).endswith("name19, …")
    assert close("q", []) == "known: none"
    assert close("name", [f"name{i}" for i in range(9)], most=2).count("name") == 2


def test_a_problem_says_where_it_is() -> None:
    assert str(Problem("bad", file="a.yaml", line=3, column=7)) == "a.yaml:3:7: bad"
    assert str(Problem("bad", file="a.yaml")) == "a.yaml: bad"
    assert str(Problem("bad")) == "bad"


def test_a_recipe_error_carries_all_its_problems() -> None:
    error = RecipeError(["first", Problem("second", file="a.yaml", line=2, column=1)])
    assert [problem.message for problem in error.problems] == ["first", "second"]
    assert str(error) == "first\na.yaml:2:1: second"


def test_a_missing_package_names_the_line_that_installs_it() -> None:
    assert "pip install 'limbeck[vision]'" in str(MissingPackage("timm", "vision"))
