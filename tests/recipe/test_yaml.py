from __future__ import annotations

import subprocess
import sys

import pytest

from limbeck.core.errors import Problem, RecipeError
from limbeck.recipe.yaml import Mark, Node, parse, read


def parsed(text: str) -> tuple[Node, list[Problem]]:
    problems: list[Problem] = []
    return parse(text, file="r.yaml", problems=problems), problems


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, file="r.yaml", problems=[])
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-2", -2),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("'3'", "3"),
        ("!!str 3", "3"),
        ("60 epochs", "60 epochs"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    node, problems = parsed(f"x: {text}")
    assert not problems
    assert node.plain == {"x": value}
    assert type(node.plain["x"]) is type(value)


def test_places_of_keys_and_values() -> None:
    node, _ = parsed("a: 1\nb:\n  c: [x, {d: 2}]\n")
    found, path = node.nearest(("b", "c", 1, "d"))
    assert path == ("b", "c", 1, "d")
    assert found.mark == Mark("r.yaml", 3, 14)
    assert found.key == Mark("r.yaml", 3, 11)
    assert node.nearest(("b", "missing", "deeper"))[1] == ("b",)


def test_keys_are_text() -> None:
    node, _ = parsed("1: a\nnull: b\ntrue: c\n")
    assert node.plain == {"1": "a", "null": "b", "true": "c"}


def test_duplicate_keys_are_all_reported_with_both_lines() -> None:
    node, problems = parsed("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert [str(problem) for problem in problems] == [
        "r.yaml:2:11: key 'c' is given twice (first in line 2)",
        "r.yaml:3:1: key 'a' is given twice (first in line 1)",
    ]
    assert node.plain == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!own 3", "!!set {a}", "!!binary aGk="],
)
def test_tags_are_refused(tag: str) -> None:
    _, problems = parsed(f"x: {tag}")
    assert len(problems) == 1
    assert "is refused: a recipe is plain data" in str(problems[0])
    assert str(problems[0]).startswith("r.yaml:1:4: ")


@pytest.mark.parametrize("text", ["1e999", "!!int abc", "!!bool maybe", "9" * 5000])
def test_unusable_scalars(text: str) -> None:
    _, problems = parsed(f"x: {text}")
    assert "is not a usable" in str(problems[0])


def test_anchors_are_copies_and_merge_keys_are_refused() -> None:
    node, problems = parsed("a: &x {b: 1}\nc: *x\n")
    assert node.plain == {"a": {"b": 1}, "c": {"b": 1}}
    assert not problems
    _, problems = parsed("a: &x {b: 1}\nc: {<<: *x}\n")
    assert "extends" in str(problems[0])


def test_absurd_documents_are_refused() -> None:
    assert "contains itself" in refused("a: &x [*x]")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "more than" in refused("\n".join(lines))
    assert "nested deeper" in refused("[" * 5000 + "]" * 5000)
    assert "at most" in refused("#" * (2 << 20))


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\ta: 1", "a: 1\n---\nb: 2", "a: *unknown", "a: \x07"])
def test_broken_yaml_names_the_place(text: str) -> None:
    message = refused(text)
    assert message.startswith("r.yaml")
    assert "not YAML" in message
    assert "\n" not in message


def test_empty_document_is_null() -> None:
    assert parsed("# nothing\n")[0].plain is None


def test_files_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    for name, word in (("none.yaml", "No such file"), ("latin.yaml", "UTF-8")):
        with pytest.raises(RecipeError, match=word):
            read(tmp_path / name, problems=[])
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(tmp_path / "bom.yaml", problems=[]).plain == {"a": 1}


def test_reading_and_listing_do_not_import_torch() -> None:
    code = "import sys, limbeck.recipe.yaml, limbeck.recipe.layers, limbeck.recipe.shipped as s; s.shipped()"
    subprocess.run([sys.executable, "-c", code + "; sys.exit('torch' in sys.modules)"], check=True)
