"""One recipe from several layers: `extends` parents, the file itself, and `--set` on top.

Mappings merge key by key; lists and scalars replace. A mapping that *chooses* something else replaces as well:
`method: {name: fitnets}` over `method: {name: kd, temperature: 4}` is FitNets without a temperature. What chooses is
the key `name` (by its value), `from`, `ensemble` or `generalist` (by being there). A name alone may be refined:
`method: kd` with `method: {temperature: 4}` on top is `{name: kd, temperature: 4}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from limbeck.core.errors import Problem, RecipeError
from limbeck.recipe import shipped
from limbeck.recipe.yaml import Mark, Node, dotted, node_of, parse, read

CHOOSING = ("name", "from", "ensemble", "generalist")

Overrides: TypeAlias = "Iterable[str] | Mapping[str, Any]"


class Layers:
    """Reads a recipe with its parents; `problems` collects, `complete` is False if a parent could not be read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.files: list[Path] = []
        self.complete = True

    def read(self, path: Path) -> Node:
        """The file merged over its parent, that over its own parent, and so on; without the key `extends`.

        Raises:
            RecipeError: the file itself cannot be read, or is not a mapping.
        """
        self.files.append(path)
        node = read(path, problems=self.problems)
        if not isinstance(node.value, dict):
            raise RecipeError([*self.problems, node.mark.problem("a recipe is a mapping of keys to values")])
        extends = node.value.pop("extends", None)
        return node if extends is None else self._over_parent(node, extends)

    def _over_parent(self, node: Node, extends: Node) -> Node:
        try:
            if not isinstance(extends.value, str):
                raise RecipeError(["expected one path or shipped name"])
            parent = shipped.find(extends.value, folder=extends.mark.folder)
            if parent in self.files:
                circle = " -> ".join(file.name for file in [*self.files[self.files.index(parent) :], parent])
                raise RecipeError([f"recipes extend each other in a circle: {circle}"])
            return merged(self.read(parent), node)
        except RecipeError as error:
            self.complete = False
            for problem in error.problems:
                known = bool(problem.line) or problem in self.problems
                self.problems.append(problem if known else extends.mark.problem(f"extends: {problem}"))
            return node


def merged(below: Node, above: Node, *, key: str = "") -> Node:
    """`above` laid over `below`.

    Args:
        below: the parent's value.
        above: the child's value.
        key: the key that holds both; empty at the root, where `name` is a title and chooses nothing.
    """
    if isinstance(above.value, dict) and isinstance(below.value, str) and _choice(above) is None:
        below = _opened(below, key)
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    if key and _choice(above) not in (None, _choice(below)):
        return above
    both = dict(below.value)
    for name, child in above.value.items():
        both[name] = merged(both[name], child, key=name) if name in both else child
    return Node(both, above.mark, above.key)


def parsed(overrides: Overrides, *, problems: list[Problem]) -> dict[str, Node]:
    """Overrides as a mapping from dotted keys to values; the last one wins where a key is given twice.

    Args:
        overrides: texts `a.b.c=value` whose value is read as YAML, or a mapping from dotted keys to plain values.
        problems: receives texts that cannot be read.
    """
    if isinstance(overrides, Mapping):
        return {str(key): node_of(value, Mark(f"set {key}")) for key, value in overrides.items()}
    found: dict[str, Node] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        mark = Mark(f"--set {key.strip()}")
        if not equals or not all(part.strip() for part in key.split(".")):
            problems.append(mark.problem(f"expected key.path=value, came {text!r}"))
            continue
        wrong: list[Problem] = []
        try:
            found[key.strip()] = node_of(parse(value, file=mark.file, problems=wrong).plain, mark, mark)
        except RecipeError as error:
            wrong.extend(error.problems)
        problems.extend(mark.problem(problem.message) for problem in wrong)
    return found


def overridden(node: Node, overrides: Mapping[str, Node], *, problems: list[Problem]) -> Node:
    """A recipe with values set at dotted keys; missing mappings are made.

    Outer keys go first, and among equals those that choose, so that the order of the options does not matter:
    `--set train.optimizer.lr=0.001 --set train.optimizer.name=adam` keeps the learning rate.
    """

    def order(key: str) -> tuple[int, bool]:
        parts = key.split(".")
        return len(parts), parts[-1] not in CHOOSING

    for key in sorted(overrides, key=order):
        parts = tuple(part.strip() for part in key.split("."))
        if parts == ("extends",):
            problems.append(overrides[key].mark.problem("extends can only be written in a recipe's file"))
            continue
        try:
            node = _set(node, parts, overrides[key], done=())
        except RecipeError as error:
            problems.extend(overrides[key].mark.problem(problem.message) for problem in error.problems)
    return node


def _set(node: Node, parts: tuple[str, ...], value: Node, *, done: tuple[str, ...]) -> Node:
    if not parts:
        return value
    first, rest = parts[0], parts[1:]
    if isinstance(node.value, str):
        node = _opened(node, done[-1])
    if node.value is None:
        node = Node({}, value.mark, node.key)
    if isinstance(node.value, list):
        below = node.child(first)
        if below is None:
            raise RecipeError([f"{dotted(done)} is a list of {len(node.value)}; expected an index, came {first!r}"])
        items = list(node.value)
        items[int(first)] = _set(below, rest, value, done=(*done, first))
        return Node(items, node.mark, node.key)
    if not isinstance(node.value, dict):
        raise RecipeError([f"{dotted(done)} is {node.value!r}, not a mapping; {first!r} cannot be set in it"])
    if not rest and done and first in CHOOSING:
        chosen = Node({first: value}, value.mark, node.key)
        return merged(node, chosen, key=done[-1])
    below = node.value.get(first, Node({} if rest else None, value.mark, value.mark))
    return Node({**node.value, first: _set(below, rest, value, done=(*done, first))}, node.mark, node.key)


def _choice(node: Node) -> tuple[str, Any] | None:
    """What a mapping chooses: (`name`, its value), (`from`, ""), (`ensemble`, ""), (`generalist`, "") or nothing."""
    for key in CHOOSING:
        child = node.child(key) if isinstance(node.value, dict) else None
        if child is not None:
            return key, child.plain if key == "name" else ""
    return None


def _opened(node: Node, key: str) -> Node:
    """The mapping that a name alone stands for."""
    return Node({"recipe" if key == "from" else "name": node}, node.mark, node.key)
