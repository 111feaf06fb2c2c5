"""From a recipe's name to a checked recipe, or to one error that lists everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.core.errors import Problem, RecipeError
from limbeck.recipe import shipped
from limbeck.recipe.build import Builder
from limbeck.recipe.layers import Layers, Overrides, overridden, parsed
from limbeck.recipe.plain import plain
from limbeck.recipe.schema import Recipe
from limbeck.recipe.yaml import KeyPath, Node, dotted


@dataclass(frozen=True)
class Resolved:
    """A recipe with nothing left open.

    Args:
        recipe: the objects.
        canonical: the same as plain data: parents merged, overrides applied, every default written out. Reading it as a
            recipe gives an equal one; paths of other recipes are absolute, shipped names stay names.
        path: the recipe's file.
        overrides: dotted key -> value, as they were given.
        node: the merged values with their places.
    """

    recipe: Recipe
    canonical: Mapping[str, Any]
    path: Path
    overrides: Mapping[str, Any]
    node: Node

    @property
    def reference(self) -> str:
        """How the recipe is named: its shipped name, or its path."""
        return shipped.reference_of(self.path)

    @property
    def name(self) -> str:
        """A short name that can be part of a folder's name: from the title, the shipped name or the file's name."""
        known = self.reference if not self.reference.endswith(shipped.SUFFIXES) else self.path.stem
        return re.sub(r"[^A-Za-z0-9_.]+", "-", self.recipe.name or known).strip("-.") or "recipe"

    def problem(self, key: str | KeyPath, message: str) -> Problem:
        """A problem found later, at the place of a key: `problem("models.student.hidden", "is too wide")`.

        Args:
            key: dotted, or as a tuple; a key that only has its default is placed at its nearest parent.
            message: what was expected, what came, what to do.
        """
        path = tuple(key.split(".")) if isinstance(key, str) else key
        found, _ = self.node.nearest(path)
        return found.mark.problem(f"{dotted(path)}: {message}" if path else message)

    def where(self, key: str) -> str:
        """The place of a key, as `recipe.yaml:2:9`; empty where no file says it."""
        return str(replace(self.problem(key, ""), message="")).removesuffix(": ")


def resolve(reference: str | Path, overrides: Overrides = ()) -> Resolved:
    """Read, merge and check a recipe.

    Args:
        reference: a path that ends in `.yaml` (relative to the current folder), or a shipped name.
        overrides: texts `a.b.c=value` (values are YAML), or a mapping from dotted keys to plain values.

    Raises:
        RecipeError: with all problems of the recipe, its parents and the overrides.
    """
    path = shipped.find(str(reference), folder=Path.cwd())
    layers, builder = Layers(), Builder()
    given = parsed(overrides, problems=layers.problems)
    node = overridden(layers.read(path), given, problems=layers.problems)
    node = _without_removed_models(node)
    recipe: Recipe | None = builder.settings(Recipe, node, ())
    problems = [*layers.problems, *builder.problems]
    if not layers.complete:  # what an unreadable parent would have given cannot be called missing
        problems = [problem for problem in problems if "is missing" not in problem.message]
    if problems or recipe is None:
        ordered = sorted(dict.fromkeys(problems), key=lambda p: (not p.line, p.file, p.line, p.column))
        raise RecipeError(ordered)
    return Resolved(
        recipe=recipe,
        canonical=plain(recipe, names=builder.names),
        path=path,
        overrides={key: value.plain for key, value in given.items()},
        node=node,
    )


def _without_removed_models(node: Node) -> Node:
    """`teacher: null` takes away a parent's role."""
    models = node.child("models")
    if models is None or not isinstance(models.value, dict) or not isinstance(node.value, dict):
        return node
    kept = {role: form for role, form in models.value.items() if form.value is not None}
    return Node({**node.value, "models": Node(kept, models.mark, models.key)}, node.mark, node.key)
