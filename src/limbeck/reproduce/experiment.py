"""What an experiment is: the runs it asks for, and how it judges them when they are finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import nn

from limbeck.core.bridge import inner
from limbeck.core.errors import RunError, close
from limbeck.data.dataset import Dataset
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.context import Context
from limbeck.recipe.folder import RunFolder, Which
from limbeck.recipe.graph import Run
from limbeck.recipe.networks import delivered

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Scale:
    """How large an experiment is made.

    Args:
        seeds: of the networks that are compared.
        quick: a smaller version, of a few minutes on two cores.
    """

    seeds: tuple[int, ...]
    quick: bool


@dataclass(frozen=True)
class Asked:
    """A recipe that an experiment wants to be run.

    Args:
        label: by which the experiment finds the runs again; unique within it.
        recipe: a shipped name, or a recipe as plain data. Such a one is written to `LABEL.yaml`, so that others of the
            same experiment can stand on it: `{"from": "LABEL.yaml"}`.
        overrides: dotted key -> value, on top.
        seeds: one run each; absent = those of the scale.
    """

    label: str
    recipe: str | Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] | None = None


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
        network = delivered(self.run, self.data)[0].eval()
        if which is not None:
            self.folder.load_weights(inner(network), which)
        return network


class Done:
    """The finished runs of an experiment.

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
            raise RunError(f"the experiment asked for no runs {label!r}; {close(label, self._runs)}")
        return self._runs[label]

    def items(self) -> list[tuple[str, tuple[Finished, ...]]]:
        """Label and runs, in the order in which they were asked for."""
        return list(self._runs.items())


@dataclass(frozen=True)
class Line:
    """A figure of the paper beside ours.

    Args:
        what: is measured, with its unit.
        paper: the paper's figure, or a dash where it gives none.
        ours: with its spread.
    """

    what: str
    paper: str
    ours: str


@dataclass(frozen=True)
class Claim:
    """What the paper says, as a sentence that can be false.

    Args:
        text: the sentence.
        held: whether it is true here.
        evidence: the figures, and against which noise they were held.
    """

    text: str
    held: bool
    evidence: str


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Args:
        name: unique on the page.
        title: above it.
        caption: below it; says what a reader should see.
        draw: on empty axes, in the colours of `limbeck.report.drawing`.
        width: in units of which a text is 11 high.
        height: the same.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Axes], None]
    width: float = 360
    height: float = 250


@dataclass(frozen=True)
class Outcome:
    """What came of an experiment.

    Args:
        lines: figures beside the paper's.
        claims: whether each held.
        pictures: of the page.
        notes: what a reader must know, such as where the setting is not the paper's.
    """

    lines: tuple[Line, ...]
    claims: tuple[Claim, ...]
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Experiment(Protocol):
    """One experiment of a paper."""

    @property
    def title(self) -> str:
        """What it shows, as a sentence."""

    @property
    def paper(self) -> str:
        """Whose it is: authors, title, place in it."""

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """What has to be trained; may be nothing."""

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """What came of it, from the finished runs alone."""
