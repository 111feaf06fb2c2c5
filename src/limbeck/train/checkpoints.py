"""Checkpoints: one file per saved step, whole or absent, the last two kept; reading one cannot run code."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from limbeck.core.errors import RunError
from limbeck.core.files import write_atomically

KEPT = 2


@dataclass
class Position:
    """How far a training has come.

    Args:
        phase: index of the stage.
        step: done within the stage.
        total: steps done since training began.
        seconds: spent in training so far, over all attempts.
        log_bytes: length of the metrics file; lines after it belong to steps that will be done again.
        best: metrics of the best network by validation.
        best_score: its score, as the task orders them.
        best_total: the step after which it was met.
    """

    phase: int = 0
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    log_bytes: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_score: tuple[float, ...] = ()
    best_total: int = 0


def save_checkpoint(folder: Path, position: Position, state: dict[str, Any]) -> Path:
    """Write a checkpoint and delete all but the newest two.

    Args:
        folder: of the checkpoints.
        position: where training is.
        state: tensors, numbers, strings, lists and dictionaries.

    Raises:
        RunError: the disk is full or the folder cannot be written; older checkpoints are untouched.
    """
    path = folder / f"step-{position.total:09d}.pt"
    document = {"position": asdict(position), "threads": torch.get_num_threads(), **state}
    write_atomically(path, lambda file: torch.save(document, file))
    for old in sorted(folder.glob("step-*.pt"))[:-KEPT]:
        old.unlink()
    return path


def load_checkpoint(folder: Path) -> tuple[Position, dict[str, Any]] | None:
    """The newest checkpoint, or `None` if there is none.

    Raises:
        RunError: the file is damaged, holds anything but data, or was written under another number of threads.
    """
    paths = sorted(folder.glob("step-*.pt"))
    if not paths:
        return None
    path = paths[-1]
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums in it
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} in it is not what was written")
        document = torch.load(path, map_location="cpu", weights_only=True)
        position = Position(**document.pop("position"))
        threads = document.pop("threads")
    except (
        zipfile.BadZipFile,
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        older = f"training then resumes from {paths[-2].name}" if len(paths) > 1 else "training then starts again"
        raise RunError(
            f"checkpoint {path} cannot be read ({_first_line(error)}). Delete this file ({older}), or use --fresh."
        ) from error
    if threads != torch.get_num_threads():
        raise RunError(
            f"checkpoint {path} was written with {threads} threads, this process has {torch.get_num_threads()}; "
            f"the same number is needed for the same result. Set OMP_NUM_THREADS={threads}, or use --fresh."
        )
    position.best_score = tuple(position.best_score)
    return position, document


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
