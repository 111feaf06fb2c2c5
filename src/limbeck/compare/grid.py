"""From the recipes and settings that a person names to what is asked for: every recipe with every setting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePath
from typing import Any

from limbeck.core.errors import Problem, RecipeError
from limbeck.recipe.layers import parsed
from limbeck.recipe.shipped import SUFFIXES
from limbeck.sweep.planning import Asked

RECIPE = "recipe"
"""The key under which a setting names its recipe where there are several."""


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Args:
        recipes: paths or shipped names.
        overrides: dotted key -> value, of all recipes.
        over: dotted key -> the values that it takes one after the other.
    """

    recipes: tuple[str, ...]
    overrides: Mapping[str, Any]
    over: Mapping[str, tuple[Any, ...]]

    @property
    def settings(self) -> list[dict[str, Any]]:
        """One mapping per combination of values; a single empty one without any."""
        return [dict(zip(self.over, values, strict=True)) for values in product(*self.over.values())]

    @property
    def title(self) -> str:
        """Recipes, then keys with their values."""
        over = [f"{key} {', '.join(map(written, values))}" for key, values in self.over.items()]
        return " · ".join([", ".join(map(self._title, self.recipes)), *over])

    def asked(self) -> dict[str, Asked]:
        """Label -> recipe with a setting; each is also asked for with its student alone."""
        labels = [(self.label(recipe, setting), recipe, setting) for recipe, setting in self._every()]
        return {
            label: Asked(label, recipe, {**self.overrides, **setting}, baseline=True)
            for label, recipe, setting in labels
        }

    def set_apart(self) -> dict[str, dict[str, Any]]:
        """Label -> what sets it apart: its values, and its recipe under the key `RECIPE` if there are several."""
        several = len(self.recipes) > 1
        return {
            self.label(recipe, setting): {**({RECIPE: self._title(recipe)} if several else {}), **setting}
            for recipe, setting in self._every()
        }

    def _every(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return product(self.recipes, self.settings)

    def label(self, recipe: str, setting: Mapping[str, Any]) -> str:
        """How tables call a recipe with a setting: `digits/kd, temperature 4`."""
        parts = [f"{self._short(key)} {written(value)}" for key, value in setting.items()]
        return ", ".join([*([self._title(recipe)] if len(self.recipes) > 1 or not parts else []), *parts])

    def _title(self, recipe: str) -> str:
        """A file by its name alone where no other recipe has that name."""
        names = [_stem(other) for other in self.recipes]
        return _stem(recipe) if names.count(_stem(recipe)) == 1 else recipe

    def _short(self, key: str) -> str:
        """The last part of a key where no other key ends so."""
        last = key.rpartition(".")[2]
        return last if [other.rpartition(".")[2] for other in self.over].count(last) == 1 else key


def grid(recipes: Sequence[str], overrides: Iterable[str] = (), over: Iterable[str] = ()) -> Grid:
    """Read what a person wrote.

    Args:
        recipes: paths or shipped names.
        overrides: texts `a.b=value`, of all recipes.
        over: texts `a.b=value,value,…`; several make a grid.

    Raises:
        RecipeError: a text cannot be read, a key is given twice, or the same thing is named twice.
    """
    problems: list[Problem] = []
    fixed = {key: node.plain for key, node in parsed(overrides, problems=problems).items()}
    swept: dict[str, tuple[Any, ...]] = {}
    for text in over:
        key, equals, values = (part.strip() for part in text.partition("="))
        found = parsed([f"{key}=[{values}]"], problems=problems) if equals else {}
        several = tuple(found[key].plain) if key in found else ()
        if not several or any(several.count(value) > 1 for value in several):
            problems.append(Problem(f"--over {text}: expected key=value,value,… with each value once"))
        if key in fixed or key in swept:
            problems.append(Problem(f"--over {text}: {key} is given twice"))
        swept[key] = several
    twice = next((recipe for recipe in recipes if list(recipes).count(recipe) > 1), None)
    if twice is not None:
        problems.append(Problem(f"{twice} is named twice; --over compares settings of one recipe"))
    if problems:
        raise RecipeError(problems)
    return Grid(tuple(recipes), fixed, swept)


def written(value: Any) -> str:
    """A value as a person would write it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _stem(recipe: str) -> str:
    return PurePath(recipe).stem if recipe.endswith(SUFFIXES) else recipe
