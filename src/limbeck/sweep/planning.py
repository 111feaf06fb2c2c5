"""From what is asked for to runs in an order in which they can be done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from limbeck.core.errors import RecipeError
from limbeck.core.files import write_atomically
from limbeck.recipe.graph import Run, baseline_of, plan
from limbeck.recipe.resolve import resolve

_LABEL = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Asked:
    """A recipe that is to be run.

    Args:
        label: by which its runs are found again; unique.
        recipe: a path, a shipped name, or a recipe as plain data. Such a one is written to `LABEL.yaml`, so that others
            can stand on it: `{"from": "LABEL.yaml"}`.
        overrides: dotted key -> value, on top.
        seeds: one run each; absent = those that all have.
        baseline: whether the same student is also trained alone, with the same budget, if anything is trained at all.
    """

    label: str
    recipe: str | Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] | None = None
    baseline: bool = False


@dataclass(frozen=True)
class Reference:
    """How another process finds a run: the recipe that leads to it, and its hash among that recipe's runs.

    Args:
        recipe: a path or a shipped name.
        overrides: dotted key -> value.
        seed: of the recipe's run.
        root: the folder of all runs.
        hash: of the run that is meant: the recipe's own, one before it, or its baseline's.
    """

    recipe: str
    overrides: Mapping[str, Any]
    seed: int
    root: Path
    hash: str

    def find(self) -> Run:
        """The run."""
        last = plan(resolve(self.recipe, self.overrides), seed=self.seed, root=self.root)
        found = next((run for run in (*last.before(), last) if run.hash == self.hash), None)
        return found or baseline_of(last)


@dataclass(frozen=True)
class Planned:
    """Runs that were asked for.

    Args:
        labelled: label -> one run per seed.
        baselines: label -> the student alone, one run per seed; only of those for which it was asked.
        ordered: every run once, each after those that it needs.
        references: hash -> how to find it.
    """

    labelled: Mapping[str, tuple[Run, ...]]
    baselines: Mapping[str, tuple[Run, ...]]
    ordered: tuple[Run, ...]
    references: Mapping[str, Reference]

    @property
    def names(self) -> dict[str, str]:
        """Hash -> label of the runs that were asked for; those before them and baselines go by their own names."""
        return {run.hash: label for label, runs in self.labelled.items() for run in runs}


def planned(asked: Sequence[Asked], *, seeds: tuple[int, ...], root: Path, folder: Path) -> Planned:
    """Plan all runs; nothing is trained.

    Args:
        asked: what is wanted.
        seeds: of those that name none.
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
    labelled, baselines, references = {}, {}, dict[str, Reference]()
    for one in asked:
        overrides = {**one.overrides, "evaluate.latency": False}  # other trainings would disturb it
        resolved = resolve(recipes[one.label], overrides)
        runs = tuple(plan(resolved, seed=seed, root=root) for seed in one.seeds or seeds)
        labelled[one.label] = runs
        if one.baseline and resolved.recipe.method.trains:
            baselines[one.label] = tuple(baseline_of(run) for run in runs)
        for run in chain(runs, baselines.get(one.label, ())):
            for needed in (*run.before(), run):
                found = Reference(recipes[one.label], overrides, run.asked_seed, root, needed.hash)
                references.setdefault(needed.hash, found)
    return Planned(labelled, baselines, _ordered([*labelled.values(), *baselines.values()]), references)


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
