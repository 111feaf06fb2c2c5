"""A run's folder: what its files are called, its state, and the lock that lets one process at a time train there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from limbeck.core.errors import RunError
from limbeck.core.files import TEMPORARY, write_json

State = Literal["absent", "unfinished", "finished"]
Which = Literal["best", "last"]


class RunFolder:
    """The files of a run.

        recipe.json                  the resolved recipe and what the hash covers
        run.json                     state, versions, times, metrics by validation, notes
        network.json                 how to build the delivered network again
        metrics.jsonl                loss terms and validation metrics
        checkpoints/                 while it is not finished
        student-best.safetensors     the best network by validation (the last one if there is no validation split)
        student-last.safetensors
        evaluation.json              metrics on the test split: best, last and the frozen roles
        predictions-*.safetensors    logits on the test split: best, last and the frozen roles
        costs.json                   parameters, FLOPs, latency, memory: student and the frozen roles
        exports/                     files to deploy
        report.html

    Args:
        path: of the folder; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def state(self) -> State:
        """How far the run is."""
        if not (self.path / "run.json").is_file():
            return "absent"
        return "finished" if self.read("run.json").get("state") == "finished" else "unfinished"

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; raises RunError when it is missing or damaged."""
        path = self.path / name
        try:
            document: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise RunError(f"{path} does not exist: the run is not finished; run its recipe first") from error
        except (ValueError, OSError) as error:
            raise RunError(f"{path} is damaged ({error}); run the recipe again with --fresh") from error
        return document

    def update(self, **values: Any) -> None:
        """Change keys of `run.json`."""
        before = self.read("run.json") if (self.path / "run.json").is_file() else {}
        write_json(self.path / "run.json", {**before, **values})

    @property
    def curves(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the system lets go of it when the process ends, however it ends.

        Raises:
            RunError: another process trains there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"another process is training {self.path}; wait for it, or stop it") from error
            for half in self.path.rglob(f".*{TEMPORARY}"):  # of a process that was killed while it wrote
                half.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)
