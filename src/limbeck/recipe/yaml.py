"""Reading YAML safely, with the place of every value.

A recipe is plain data: mappings, lists, text, numbers, true, false and null, as YAML 1.2's core schema reads them. So
`1e-3` is a number; `on`, `no` and `12:30` are text. Everything else is refused: tags (they could name Python objects),
keys given twice (PyYAML would drop one in silence), aliases that contain themselves, and documents of absurd size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from limbeck.core.errors import Problem, RecipeError

MOST_BYTES = 1 << 20
MOST_VALUES = 20_000
MOST_DEPTH = 40

Scalar: TypeAlias = "str | int | float | bool | None"
KeyPath: TypeAlias = "tuple[str | int, ...]"


@dataclass(frozen=True)
class Mark:
    """A place: a file with line and column counted from 1, or the words of a command line option with neither."""

    file: str = ""
    line: int = 0
    column: int = 0

    def problem(self, message: str) -> Problem:
        """A problem at this place."""
        return Problem(message, self.file, self.line, self.column)

    @property
    def folder(self) -> Path:
        """The folder that relative paths written at this place start from."""
        return Path(self.file).absolute().parent if self.line else Path.cwd()


@dataclass(frozen=True)
class Node:
    """A value with its place, and the place of the key that holds it (None in lists and at the root)."""

    value: dict[str, Node] | list[Node] | Scalar
    mark: Mark = Mark()
    key: Mark | None = None

    @property
    def plain(self) -> Any:
        """The value without places: what `json` could write."""
        if isinstance(self.value, dict):
            return {key: child.plain for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain for child in self.value]
        return self.value

    def child(self, key: str | int) -> Node | None:
        """The value under a key or at an index; None if there is none."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, list) and str(key).isdigit() and int(key) < len(self.value):
            return self.value[int(key)]
        return None

    def nearest(self, path: KeyPath) -> tuple[Node, KeyPath]:
        """The value at the longest part of `path` that exists, and that part."""
        node = self
        for depth, key in enumerate(path):
            below = node.child(key)
            if below is None:
                return node, path[:depth]
            node = below
        return node, path


def dotted(path: KeyPath) -> str:
    """A path as a recipe's user writes it: `models.teacher.ensemble.0.name`."""
    return ".".join(str(part) for part in path)


def node_of(data: Any, mark: Mark, key: Mark | None = None) -> Node:
    """Give plain data one place.

    Args:
        data: mappings, lists and scalars.
        mark: the place of all of it.
        key: the place of the key that holds it.
    """
    if isinstance(data, Mapping):
        return Node({str(k): node_of(v, mark, mark) for k, v in data.items()}, mark, key)
    if isinstance(data, Sequence) and not isinstance(data, str):
        return Node([node_of(v, mark) for v in data], mark, key)
    return Node(data, mark, key)


def read(path: Path, *, problems: list[Problem]) -> Node:
    """Read one file.

    Args:
        path: the file.
        problems: receives what is wrong but does not stop the reading (keys given twice, tags).

    Raises:
        RecipeError: the file is missing, not text, too large, or not YAML.
    """
    file = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecipeError([Problem(f"a recipe of at most {MOST_BYTES} bytes is expected", file)])
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError([Problem(f"cannot be read: {error.strerror or error}", file)]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([Problem(f"is not UTF-8 text (byte {error.start})", file)]) from None
    return parse(text, file=file, problems=problems)


def parse(text: str, *, file: str, problems: list[Problem]) -> Node:
    """Parse one YAML document.

    Args:
        text: the document.
        file: its name, for messages.
        problems: receives what is wrong but does not stop the reading.

    Raises:
        RecipeError: the text is not YAML, or too large or too deep.
    """
    if len(text) > MOST_BYTES:
        raise RecipeError([Problem(f"a recipe of at most {MOST_BYTES} characters is expected", file)])
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file)
        raise RecipeError([mark.problem(f"not YAML: {message}")]) from None
    except yaml.YAMLError as error:
        raise RecipeError([Problem(f"not YAML: {error}".replace("\n", " "), file)]) from None
    if root is None:
        return Node(None, Mark(file, 1, 1))
    return _Tree(file, problems).node(root)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2 and a limit on depth."""

    yaml_implicit_resolvers = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {MOST_DEPTH} levels",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_TAG = "tag:yaml.org,2002:"
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), _first)


class _Tree:
    """Turns PyYAML's nodes into ours and collects what is refused."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self.values = 0
        self.open: list[yaml.Node] = []

    def node(self, raw: yaml.Node, key: Mark | None = None) -> Node:
        mark = self.mark(raw)
        self.values += 1
        if self.values > MOST_VALUES:
            raise RecipeError([mark.problem(f"more than {MOST_VALUES} values (aliases count each time)")])
        if any(raw is outer for outer in self.open):
            raise RecipeError([mark.problem("an alias contains itself")])
        known = ("null", "bool", "int", "float", "str", "seq", "map")
        if raw.tag not in [_TAG + name for name in known]:
            self.problems.append(mark.problem(f"tag {raw.tag!r} is refused: a recipe is plain data"))
            return Node(None, mark, key)
        if isinstance(raw, yaml.ScalarNode):
            return Node(self.scalar(raw, mark), mark, key)
        self.open.append(raw)
        value = self.mapping(raw) if isinstance(raw, yaml.MappingNode) else [self.node(item) for item in raw.value]
        self.open.pop()
        return Node(value, mark, key)

    def mapping(self, raw: yaml.MappingNode) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in raw.value:
            mark = self.mark(key)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(mark.problem("a key must be text, came a list or a mapping"))
                continue
            if key.value == "<<":
                self.problems.append(
                    mark.problem("merge keys '<<' are not YAML 1.2; write `extends:` or repeat the lines")
                )
                continue
            if key.value in found:
                first = found[key.value].key
                line = f" (first in line {first.line})" if first else ""
                self.problems.append(mark.problem(f"key {key.value!r} is given twice{line}"))
                continue
            found[key.value] = self.node(value, mark)
        return found

    def scalar(self, raw: yaml.ScalarNode, mark: Mark) -> Scalar:
        kind, text = raw.tag.removeprefix(_TAG), str(raw.value)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
            if kind == "float":
                number = float(text)
                if not math.isfinite(number):
                    raise ValueError
                return number
        except (ValueError, KeyError):
            self.problems.append(mark.problem(f"{_shortened(text)!r} is not a usable {kind}"))
            return None
        return text

    def mark(self, raw: yaml.Node) -> Mark:
        return Mark(self.file, raw.start_mark.line + 1, raw.start_mark.column + 1)


def _shortened(text: str, *, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
