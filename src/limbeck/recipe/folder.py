"""A run's folder: what its files are called, its state, and the lock that lets one process at a time train there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limbeck.core.errors import RunError, WeightsError
from limbeck.core.files import TEMPORARY, disk_errors, write_json

if TYPE_CHECKING:
    from torch import nn

State = Literal["absent", "unfinished", "finished"]
Which = Literal["best", "last"]
EXITS = "exits.json"
"""Of a network with early exits: what `limbeck.evaluate.exits.measure_exits` gives."""


class RunFolder:
    """The files of a run.

        recipe.json                  the resolved recipe and what the hash covers
        run.json                     state, versions, times, metrics by validation, notes
        network.json                 how to build the delivered network again
        network-last.json            the same of the last one, where that is another network
        metrics.jsonl                loss terms, validation metrics, and what methods observe
        checkpoints/                 while it is not finished
        student-best.safetensors     the best network by validation (the last one if there is no validation split)
        student-last.safetensors
        evaluation.json              metrics on the test split: best, last and the frozen roles
        predictions-*.safetensors    logits on the test split: best, last and the frozen roles
        exits.json                   a network with early exits: each exit's figures, thresholds, a sweep of them
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

    def read(self, name: str, *, keys: Iterable[str] = ()) -> dict[str, Any]:
        """A JSON object in a file of the folder.

        Args:
            name: of the file.
            keys: that the object must have.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / name
        try:
            document = _object(path.read_text())
        except FileNotFoundError as error:
            raise RunError(f"{path} does not exist: the run is not finished; run its recipe first") from error
        except (ValueError, OSError) as error:
            raise _damaged(path, error) from error
        missing = [key for key in keys if key not in document]
        if missing:
            raise _damaged(path, f"it has no {', '.join(map(repr, missing))}")
        return document

    def described(self, which: Which, *, keys: Iterable[str] = ()) -> dict[str, Any]:
        """How to build a delivered network.

        Args:
            which: of the two.
            keys: that the description must have.

        Raises:
            RunError: the file is missing or damaged.
        """
        other = which == "last" and (self.path / "network-last.json").is_file()
        return self.read("network-last.json" if other else "network.json", keys=keys)

    def load_weights(self, network: nn.Module, which: Which) -> None:
        """Copy the delivered weights into a network; raises RunError when their file is missing or damaged."""
        from limbeck.models.weights import load_weights

        path = self.path / f"student-{which}.safetensors"
        try:
            load_weights(network, path)
        except WeightsError as error:
            raise _damaged(path, error) from error

    def update(self, **values: Any) -> None:
        """Change keys of `run.json`."""
        before = self.read("run.json") if (self.path / "run.json").is_file() else {}
        write_json(self.path / "run.json", {**before, **values})

    @property
    def curves(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`; raises RunError when one of them is damaged."""
        path = self.path / "metrics.jsonl"
        try:
            return [_object(line) for line in path.read_text().splitlines()] if path.is_file() else []
        except (ValueError, OSError) as error:
            raise _damaged(path, error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the system lets go of it when the process ends, however it ends.

        Raises:
            RunError: another process trains there, or the folder cannot be made or written.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"another process is training {self.path}; wait for it, or stop it") from error
            with disk_errors(self.path):
                for half in self.path.rglob(f".*{TEMPORARY}"):  # of a process that was killed while it wrote
                    half.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)


def _object(text: str) -> dict[str, Any]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"expected a JSON object, got {text[:40]!r}")
    return document


def _damaged(path: Path, reason: object) -> RunError:
    return RunError(f"{path} is damaged ({reason}); run the recipe again with --fresh")
