"""Little recipes on digits, their runs, and the command line in this process or in another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from limbeck.cli import main, pipeline
from limbeck.recipe.context import Context
from limbeck.recipe.results import Results

TEACHER = """\
data: {name: digits, batch: 64, subset: 400}
models: {student: {name: mlp, hidden: [24]}}
method: supervised
train: {length: 3 epochs, optimizer: {name: adamw, lr: 1e-2}}
evaluate: {latency: false}
report: false
"""

KD = """\
extends: teacher.yaml
models: {teacher: {from: teacher.yaml}, student: {name: mlp, hidden: [8]}}
method: {name: kd, temperature: 4.0}
baseline: true
"""

RECIPES = {"teacher.yaml": TEACHER, "kd.yaml": KD}


def write(folder: Path, recipes: dict[str, str] = RECIPES) -> Path:
    """Recipes as files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in recipes.items():
        (folder / name).write_text(text)
    return folder


def run(recipe: Path, *overrides: str, root: Path | None = None, **arguments: Any) -> Results:
    """What `limbeck run` does; runs lie beside the recipe."""
    arguments.setdefault("context", Context(progress=False))
    return pipeline.run(recipe, overrides, root=root or recipe.parent / "runs", **arguments)


def stamps(folder: Path) -> dict[str, int]:
    """When each file below a folder was written last, in nanoseconds."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


def names(root: Path) -> list[str]:
    """The runs in a folder, without their hashes."""
    return sorted(path.name.rpartition("-")[0] for path in root.iterdir())


def only(root: Path, name: str) -> Path:
    """The one run of a name."""
    (found,) = root.glob(f"{name}-" + "[0-9a-f]" * 10)
    return found


@cache
def finished() -> Path:
    """The recipes with their runs, done once per session; to be copied, not to be changed."""
    folder = write(_scratch())
    run(folder / "kd.yaml")
    return folder


_places: list[Path] = []


def scratch_under(base: Path) -> None:
    """Say where `finished` may write; a session's fixture does."""
    _places.append(base)


def _scratch() -> Path:
    return _places[-1] / "finished"


def copied(folder: Path) -> Path:
    """A copy of `finished` that a test may change."""
    shutil.copytree(finished(), folder, dirs_exist_ok=True)
    return folder


def limbeck(*arguments: str) -> int:
    """The exit code of the command in this process; what it prints goes where pytest can read it."""
    try:
        with patch.object(sys, "argv", ["limbeck", *arguments]):
            main()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    return 0


def started(arguments: Sequence[str], folder: Path, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own, in a folder; module paths beside the recipe are found there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    command = [sys.executable, "-m", "limbeck", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **options)
