"""Every exception that limbeck raises on purpose.

LimbeckError
├── RecipeError       a recipe is wrong; carries all its problems
├── DataError         a data set, a file or an image cannot be used
├── ModelError        a network cannot be built, or two cannot be joined
│   └── WeightsError  weights are missing, damaged, of other shapes, or unsafe to read
├── TapError          a module path is unknown, or a tapped tensor was changed in place
├── MethodError       a method, its task and its networks do not fit together
├── TrainingError     training cannot go on: a loss is not finite, a frozen teacher changed
│   └── Interrupted   somebody asked to stop; everything is saved
├── RunError          a run folder, a checkpoint or the disk
├── ExportError       an exported file cannot be made, or differs from the live network
└── MissingPackage    an optional dependency is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class LimbeckError(Exception):
    """Base of all; the command line prints its text without a traceback and exits with 1."""

    placed = False
    """Whether its text says already where in a recipe's file."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a recipe.

    Args:
        message: what was expected, what came, and the nearest name if a name is wrong.
        file: the recipe's path; empty when the value came from the command line or from Python.
        line: counted from 1; 0 when unknown.
        column: counted from 1; 0 when unknown.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: {self.message}" if where else self.message


class RecipeError(LimbeckError):
    """A recipe is wrong. All its problems are collected before this is raised."""

    def __init__(self, problems: Iterable[Problem | str]) -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem(p) for p in problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class DataError(LimbeckError):
    """A data set, a file or an image cannot be used."""


class ModelError(LimbeckError):
    """A network cannot be built, or two networks cannot be joined."""


class WeightsError(ModelError):
    """Weights are missing, damaged, of other shapes, or unsafe to read."""


class TapError(LimbeckError):
    """A module path is unknown, or a tapped tensor was changed in place after it was recorded."""


class MethodError(LimbeckError):
    """A method, its task and its networks do not fit together."""


class TrainingError(LimbeckError):
    """Training cannot go on."""


class Interrupted(TrainingError):
    """Somebody asked to stop (Ctrl-C, termination); everything is saved."""


class RunError(LimbeckError):
    """A run folder, a checkpoint or the disk."""


class ExportError(LimbeckError):
    """An exported file cannot be made, or differs from the live network."""


class MissingPackage(LimbeckError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'limbeck[{extra}]'")


def close(name: str, names: Iterable[str], *, most: int = 3) -> str:
    """A hint for an unknown name: the nearest known ones, or, if none is near, the known ones.

    Args:
        name: what came.
        names: what is known.
        most: how many close names to list at most.
    """
    known = list(names)
    near = difflib.get_close_matches(name, known, n=most, cutoff=0.5)
    if near:
        return "close: " + ", ".join(near)
    listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return f"known: {listed or 'none'}"
