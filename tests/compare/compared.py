"""Little comparisons on digits, done once per session."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from limbeck.compare.comparison import Comparison
from limbeck.compare.grid import grid
from limbeck.compare.runner import compare
from limbeck.recipe.context import Context
from running import KD, TEACHER, write

SAME_STUDENT = """\
extends: teacher.yaml
models: {student: {name: mlp, hidden: [8]}}
"""

RECIPES = {"teacher.yaml": TEACHER, "kd.yaml": f"{KD}evaluate: {{latency: true}}\n", "small.yaml": SAME_STUDENT}

Done = tuple[Comparison, Path]


def done(folder: Path, *recipes: str, over: tuple[str, ...] = (), seeds: int = 2, unequal: bool = False) -> Done:
    """Compare recipes that lie in a folder; runs lie beside them."""
    asked = grid([str(folder / name) for name in recipes], over=over)
    context = Context(progress=False)
    return compare(asked, seeds=tuple(range(seeds)), root=folder / "runs", jobs=1, unequal=unequal, context=context)


@cache
def swept(folder: Path) -> Done:
    """Two temperatures and the student alone."""
    return done(write(folder, RECIPES), "kd.yaml", over=("method.temperature=1,4",))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")
