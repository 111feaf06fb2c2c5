"""Why distilling did not help: what can be measured of teacher, student and pixels after the fact.

teacher      is it better than the student alone at all?
softness     how much does it say beyond its first class, at the temperature at which it teaches, on training images?
pixels       does it know the images as training shows them, and as this data has them?
capacity     does the student manage on training images what the teacher manages there?

Each is a figure with a threshold that this file states; none of them proves a cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from limbeck.core.method import Method
from limbeck.data.batches import ImageBatch
from limbeck.data.dataset import Dataset
from limbeck.evaluate.classification import measure
from limbeck.evaluate.noise import Interval
from limbeck.evaluate.predictions import UNLABELLED, Predictions, predict
from limbeck.methods.compose import Compose
from limbeck.recipe.batches import training_loader
from limbeck.recipe.context import Context
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run
from limbeck.recipe.measure import batches_of
from limbeck.recipe.networks import delivered, join
from limbeck.report.numbers import percent, points

IMAGES = 2000
"""Training images that are looked at."""

SCARCE = 0.01
"""A teacher that leaves less than this share of its probability to other classes says hardly more than a label."""

LOST = 0.02
"""A difference of accuracies from which one between two kinds of images, or two networks, is worth naming."""


@dataclass(frozen=True)
class Finding:
    """One thing that was measured.

    Args:
        text: with the figures.
        likely: whether it may be why distilling did not help.
    """

    text: str
    likely: bool


def findings(
    run: Run, over_alone: Interval, context: Context, *, role: str, test_accuracy: float
) -> tuple[Finding, ...]:
    """What was measured of a distilled student that is not clearly better than alone.

    Args:
        run: of the student, finished.
        over_alone: the accuracy of its teacher less that of the student alone.
        context: for data and device.
        role: of the teacher.
        test_accuracy: of the student.
    """
    look = _Look(run, role, context)
    found = [_teacher(over_alone), *look.softness(), look.pixels(), *look.origin(), look.capacity(test_accuracy)]
    return tuple(one for one in found if one is not None)


def _teacher(over_alone: Interval) -> Finding:
    ends = f"95 %: {points(over_alone.low)} to {points(over_alone.high)}"
    likely = not over_alone.better
    words = "the teacher is not clearly better than the student alone" if likely else "the teacher is better"
    return Finding(f"{words}: {points(over_alone.value)} points ({ends})", likely)


class _Look:
    """Teacher and student on training images, as they are and as training shows them."""

    def __init__(self, run: Run, role: str, context: Context) -> None:
        self._run, self._role, self._context = run, role, context
        self._data = context.dataset(run)
        device = context.processes.device
        self._taught_by = join(run, role, self._data, frozen=True).network.to(device)
        self._student = delivered(run, self._data)[0].to(device)
        rows = torch.arange(len(self._data.train.labelled()))[:: max(1, len(self._data.train.labelled()) // IMAGES)]
        self._plain = self._data.train.labelled().take(rows[:IMAGES])
        self._shown = self._predict(self._taught_by, _as_shown(run, self._data, context))
        self._accuracy = _accuracy(self._on_plain(self._taught_by), self._data)

    def softness(self) -> Iterator[Finding]:
        """For each temperature at which the teacher teaches."""
        for temperature in _temperatures(self._run.recipe.method):
            first = (self._shown.logits / temperature).softmax(1).amax(1).mean().item()
            likely = 1 - first < SCARCE
            words = "the teacher is over-confident" if likely else "the teacher says more than a label"
            text = f"{words}: at T = {temperature:g} it leaves {percent(1 - first)} to all classes but its first"
            yield Finding(f"{text}, on training images as the student sees them", likely)

    def pixels(self) -> Finding | None:
        """Whether augmentation takes the teacher where it does not know its way."""
        if not len(self._shown.labelled()):
            return None
        shown = _accuracy(self._shown, self._data)
        likely = self._accuracy - shown > LOST
        words = "the teacher does not know these pixels" if likely else "the teacher knows the pixels"
        figures = f"{percent(self._accuracy)} on training images as they are, {percent(shown)} as training shows them"
        return Finding(f"{words}: it reaches {figures}", likely)

    def origin(self) -> Iterator[Finding]:
        """Whether the teacher is as good here as on the data that it was trained on."""
        upstream = self._run.upstream.get(self._role)
        if upstream is None:
            return
        folder = RunFolder(upstream.folder)
        selected = folder.read("run.json", keys=("selected",))["selected"]
        there = folder.read("evaluation.json").get(selected, {}).get("accuracy")
        here = RunFolder(self._run.folder).read("evaluation.json").get(self._role, {}).get("accuracy")
        if there is not None and here is not None and there - here > LOST:
            text = (
                f"the teacher sees other pixels here: {percent(here)} on this test split, {percent(there)} on its own"
            )
            yield Finding(text, likely=True)

    def capacity(self, test_accuracy: float) -> Finding:
        """Whether the student fails already where it was taught, rather than on new images."""
        student = _accuracy(self._on_plain(self._student), self._data)
        unfitted, ungeneralised = self._accuracy - student, student - test_accuracy
        likely = unfitted > LOST and unfitted > ungeneralised
        words = "the student is at its capacity, or was trained too briefly" if likely else "the student can follow"
        figures = f"on training images it reaches {percent(student)}, the teacher {percent(self._accuracy)}"
        return Finding(f"{words}: {figures}", likely)

    def _on_plain(self, network: nn.Module) -> Predictions:
        return self._predict(network, batches_of(self._plain, self._run.recipe, self._context.processes.device))

    def _predict(self, network: nn.Module, batches: Iterable[Any]) -> Predictions:
        return predict(network, batches, self._run.recipe.task.run)


def _as_shown(run: Run, dataset: Dataset, context: Context) -> Iterator[ImageBatch]:
    """The first batches of the training; a mixed image counts as the class of which it has most."""
    steps = training_loader(run, dataset, context).batches()
    wanted = -(-IMAGES // run.recipe.data.batch)
    for images, labels, ids in (batch for step in islice(steps, wanted) for batch in step):
        if labels.is_floating_point():
            labels = torch.where(labels.sum(1) > 0, labels.argmax(1), UNLABELLED)
        yield ImageBatch(images, labels, ids)


def _temperatures(method: Method) -> list[float]:
    members = method.methods if isinstance(method, Compose) else (method,)
    found = [getattr(member, "temperature", None) for member in members]
    return sorted({float(value) for value in found if value is not None})


def _accuracy(predictions: Predictions, dataset: Dataset) -> float:
    return float(measure(predictions, dataset.classes)["accuracy"])
