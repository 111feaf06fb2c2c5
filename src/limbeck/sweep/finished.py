"""Runs that are finished: their figures, their predictions, their networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from limbeck.core.errors import RunError, close
from limbeck.data.dataset import Dataset
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.context import Context
from limbeck.recipe.folder import RunFolder, Which
from limbeck.recipe.graph import Run
from limbeck.recipe.networks import delivered


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished run.

    Args:
        run: which one.
        context: keeps the data that several runs share.
    """

    run: Run
    context: Context

    @property
    def folder(self) -> RunFolder:
        """Of the run."""
        return RunFolder(self.run.folder)

    @property
    def seconds(self) -> float:
        """Its training took."""
        return float(self.folder.read("run.json", keys=("seconds",))["seconds"])

    @property
    def curves(self) -> list[dict[str, Any]]:
        """The lines of its `metrics.jsonl`."""
        return self.folder.curves

    @property
    def data(self) -> Dataset:
        """What it was trained and tested on."""
        return self.context.dataset(self.run)

    @cached_property
    def _evaluation(self) -> dict[str, Any]:
        return self.folder.read("evaluation.json")

    def metrics(self, which: str = "last") -> Mapping[str, Any]:
        """The figures on the test split.

        Args:
            which: "last", "best" by validation, or a frozen role, such as "teacher".

        Raises:
            RunError: the run has no such network.
        """
        if which not in self._evaluation:
            raise RunError(f"{self.run.folder} measured no network {which!r}; {close(which, self._evaluation)}")
        found: Mapping[str, Any] = self._evaluation[which]
        return found

    def errors(self, which: str = "last") -> int:
        """How many test images it gets wrong."""
        return int(self.metrics(which)["errors"])

    def accuracy(self, which: str = "last") -> float:
        """The share of test images that it gets right."""
        return float(self.metrics(which)["accuracy"])

    def predictions(self, which: str = "last") -> Predictions:
        """Its logits on the test split."""
        return Predictions.load(self.folder / f"predictions-{which}.safetensors")

    def network(self, which: Which | None = None) -> nn.Module:
        """A network in evaluation mode: images in [0, 1] to logits.

        Args:
            which: absent = the one that the run delivers: the best if there is a validation split.
        """
        return delivered(self.run, self.data, which)[0].eval()


class Done:
    """Finished runs under their labels.

    Args:
        runs: label -> one run per seed, in the order of the seeds.
    """

    def __init__(self, runs: Mapping[str, Sequence[Finished]]) -> None:
        self._runs = {label: tuple(several) for label, several in runs.items()}

    def of(self, label: str) -> tuple[Finished, ...]:
        """The runs that were asked for under a label.

        Raises:
            RunError: no runs were.
        """
        if label not in self._runs:
            raise RunError(f"no runs were asked for under the label {label!r}; {close(label, self._runs)}")
        return self._runs[label]

    def items(self) -> list[tuple[str, tuple[Finished, ...]]]:
        """Label and runs, in the order in which they were asked for."""
        return list(self._runs.items())
