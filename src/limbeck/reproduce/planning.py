"""From what an experiment asks for to runs in an order in which they can be done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from limbeck.core.errors import RecipeError
from limbeck.core.files import write_atomically
from limbeck.recipe.graph import Run, plan
from limbeck.recipe.resolve import resolve
from limbeck.reproduce.experiment import Asked, Scale

_LABEL = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Reference:
    """How another process finds a run: the recipe that leads to it, and its hash among that recipe's runs.

    Args:
        recipe: a path or a shipped name.
        overrides: dotted key -> value.
        seed: of the recipe's run.
        root: the folder of all runs.
        hash: of the run that is meant, which may stand before the recipe's own.
    """

    recipe: str
    overrides: Mapping[str, Any]
    seed: int
    root: Path
    hash: str

    def find(self) -> Run:
        """The run."""
        last = plan(resolve(self.recipe, self.overrides), seed=self.seed, root=self.root)
        return next(run for run in (*last.before(), last) if run.hash == self.hash)


@dataclass(frozen=True)
class Planned:
    """The runs of an experiment.

    Args:
        labelled: label -> one run per seed.
        ordered: every run once, each after those that it needs.
        references: hash -> how to find it.
    """

    labelled: Mapping[str, tuple[Run, ...]]
    ordered: tuple[Run, ...]
    references: Mapping[str, Reference]


def planned(asked: Sequence[Asked], scale: Scale, *, root: Path, folder: Path) -> Planned:
    """Plan all runs; nothing is trained.

    Args:
        asked: what the experiment wants.
        scale: for the seeds.
        root: the folder of all runs.
        folder: receives the recipes that are given as plain data.

    Raises:
        RecipeError: a recipe is wrong, or two are asked for under one label.
    """
    labels = [one.label for one in asked]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise RecipeError([f"asked for twice under the label {twice[0]!r}; give each its own"])
    recipes = _written(asked, folder)
    labelled, references = {}, dict[str, Reference]()
    for one in asked:
        overrides = {**one.overrides, "evaluate.latency": False}
        resolved = resolve(recipes[one.label], overrides)
        runs = tuple(plan(resolved, seed=seed, root=root) for seed in one.seeds or scale.seeds)
        labelled[one.label] = runs
        for last in runs:
            for run in (*last.before(), last):
                found = Reference(recipes[one.label], overrides, last.seed, root, run.hash)
                references.setdefault(run.hash, found)
    return Planned(labelled, _ordered(labelled.values()), references)


def _written(asked: Sequence[Asked], folder: Path) -> dict[str, str]:
    """Label -> how its recipe is named; all files first, because they may stand on one another."""
    names = {}
    for one in asked:
        if isinstance(one.recipe, str):
            names[one.label] = one.recipe
            continue
        if not _LABEL.fullmatch(one.label):
            raise RecipeError([f"the label {one.label!r} becomes a file's name: letters, digits, '.', '_', '-' only"])
        path = (folder / f"{one.label}.yaml").absolute()
        write_atomically(path, yaml.safe_dump(dict(one.recipe), sort_keys=False, allow_unicode=True).encode())
        names[one.label] = str(path)
    return names


def _ordered(several: Iterable[Sequence[Run]]) -> tuple[Run, ...]:
    """What many wait for comes first."""
    found: dict[str, Run] = {}
    for runs in several:
        for last in runs:
            for run in (*last.before(), last):
                found.setdefault(run.hash, run)
    return tuple(found.values())
