from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.core.errors import Problem, RecipeError
from limbeck.recipe.layers import Layers, merged, overridden, parsed
from limbeck.recipe.yaml import Mark, node_of


def over(below: dict[str, Any], above: dict[str, Any]) -> Any:
    return merged(node_of(below, Mark("b", 1, 1)), node_of(above, Mark("a", 1, 1))).plain


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"m": {"name": "kd", "t": 4}}, {"m": {"name": "fitnets"}}, {"m": {"name": "fitnets"}}),
        ({"m": {"name": "kd", "t": 4}}, {"m": {"name": "kd", "w": 1}}, {"m": {"name": "kd", "t": 4, "w": 1}}),
        ({"m": {"name": "kd", "t": 4}}, {"m": {"t": 5}}, {"m": {"name": "kd", "t": 5}}),
        ({"m": "kd"}, {"m": {"t": 5}}, {"m": {"name": "kd", "t": 5}}),
        ({"m": {"name": "kd", "t": 4}}, {"m": "fitnets"}, {"m": "fitnets"}),
        ({"x": {"name": "mlp", "h": 1}}, {"x": {"from": "t.yaml"}}, {"x": {"from": "t.yaml"}}),
        ({"x": {"from": "t.yaml"}}, {"x": {"from": {"seed": 3}}}, {"x": {"from": {"recipe": "t.yaml", "seed": 3}}}),
        ({"x": {"ensemble": [1]}}, {"x": {"mean": "geometric"}}, {"x": {"ensemble": [1], "mean": "geometric"}}),
        ({"name": "parent", "a": 1}, {"name": "child"}, {"name": "child", "a": 1}),
    ],
)
def test_merging(below: dict[str, Any], above: dict[str, Any], expected: dict[str, Any]) -> None:
    assert over(below, above) == expected


def test_parents_merge_from_their_own_folders(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.yaml").write_text("x: 1\ny: {z: 1, w: 1}\n")
    (tmp_path / "base" / "b.yaml").write_text("extends: a.yaml\nx: 2\n")
    (tmp_path / "c.yaml").write_text("extends: base/b.yaml\ny: {z: 3}\n")
    layers = Layers()
    node = layers.read(tmp_path / "c.yaml")
    assert node.plain == {"x": 2, "y": {"z": 3, "w": 1}}
    assert not layers.problems
    assert layers.complete
    assert node.nearest(("y", "w"))[0].mark.file.endswith("a.yaml")
    assert node.nearest(("y", "z"))[0].mark.file.endswith("c.yaml")


@pytest.mark.parametrize(
    ("extends", "words"),
    [
        ("b.yaml", "circle: a.yaml -> b.yaml -> a.yaml"),
        ("a.yaml", "circle: a.yaml -> a.yaml"),
        ("c.yaml", "no file"),
        ("[b.yaml]", "expected one path"),
        ("broken.yaml", "broken.yaml:1:"),
    ],
)
def test_parents_that_cannot_be_read(tmp_path: Path, extends: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(f"extends: {extends}\nx: 1\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    (tmp_path / "broken.yaml").write_text("[")
    layers = Layers()
    assert layers.read(tmp_path / "a.yaml").plain["x"] == 1
    assert not layers.complete
    assert words in str(RecipeError(layers.problems))
    assert all(problem.line == 1 for problem in layers.problems)


def test_a_recipe_is_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(RecipeError, match="mapping"):
        Layers().read(tmp_path / "a.yaml")


def with_set(data: Any, *texts: str) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    node = overridden(node_of(data, Mark("r", 1, 1)), parsed(texts, problems=problems), problems=problems)
    return node.plain, problems


@pytest.mark.parametrize(
    ("data", "texts", "expected"),
    [
        ({}, ["a.b.c=1e-3"], {"a": {"b": {"c": 1e-3}}}),
        ({"a": 1}, ["a=null"], {"a": None}),
        ({"a": {"b": 1}}, ["a={c: 2}"], {"a": {"c": 2}}),
        ({}, ["t.length=5 epochs"], {"t": {"length": "5 epochs"}}),
        ({}, ["a=x=y"], {"a": "x=y"}),
        ({"a": [1, {"b": 2}]}, ["a.1.b=3", "a.0=5"], {"a": [5, {"b": 3}]}),
        ({"m": {"name": "kd", "t": 1}}, ["m.name=at"], {"m": {"name": "at"}}),
        ({"m": {"name": "kd", "t": 1}}, ["m.p=2", "m.name=at"], {"m": {"name": "at", "p": 2}}),
        ({"m": "kd"}, ["m.t=2"], {"m": {"name": "kd", "t": 2}}),
        ({"x": {"from": "t.yaml"}}, ["x.from.seed=2"], {"x": {"from": {"recipe": "t.yaml", "seed": 2}}}),
        ({"name": "a", "b": 1}, ["name=c"], {"name": "c", "b": 1}),
        ({"a": 1}, ["a=2", "a=3"], {"a": 3}),
    ],
)
def test_overrides(data: Any, texts: list[str], expected: Any) -> None:
    assert with_set(data, *texts) == (expected, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b", "--set a.b: expected key.path=value, came 'a.b'"),
        ("=3", "--set : expected key.path=value, came '=3'"),
        ("a..b=3", "--set a..b: expected key.path=value"),
        ("n.x=3", "--set n.x: n is 5, not a mapping; 'x' cannot be set in it"),
        ("l.7=3", "--set l.7: l is a list of 2; expected an index, came '7'"),
        ("n=[", "--set n: not YAML"),
        ("n=!!python/name:os.system", "--set n: tag"),
        ("extends=x.yaml", "--set extends: extends can only be written in a recipe's file"),
    ],
)
def test_wrong_overrides_name_their_option(text: str, message: str) -> None:
    data, problems = with_set({"n": 5, "l": [1, 2]}, text)
    assert data == {"n": 5, "l": [1, 2]} or "n=!!" in text
    assert len(problems) == 1
    assert str(problems[0]).startswith(message)


def test_overrides_from_python() -> None:
    problems: list[Problem] = []
    given = parsed({"a.b": (1, 2)}, problems=problems)
    assert overridden(node_of({}, Mark()), given, problems=problems).plain == {"a": {"b": [1, 2]}}
