"""Early exits on the clock: a deep network on easy images, and how much of its time they need.

Images of CIFAR-10 are easy enough for a ResNet-56 that its first heads are sure of many of them. Thresholds are chosen
on held-out images; times are those of one image at a time, heads included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

import torch

from limbeck.adapters.exits import Exits
from limbeck.evaluate.exits import ExitAnswers, measure_exits, predict_exits
from limbeck.evaluate.noise import Errors
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.measure import batches_of, tested_part
from limbeck.report.drawing import BAD, GOOD, INK
from limbeck.reproduce.claims import no_worse, shown
from limbeck.reproduce.experiment import Claim, Line, Picture, Scale
from limbeck.reproduce.without_teacher.setting import Size, alone, recipe, training
from limbeck.sweep.finished import Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NETWORK = {"name": "resnet56"}
SAVED = 0.95
"""Faster is a mean time of at most so much of the whole network's."""
FULL = Size(images=18_000, epochs=8, held_out=5_000)
QUICK = Size(images=3_000, epochs=2, held_out=1_000)


def size_of(scale: Scale) -> Size:
    """The size of a scale."""
    return QUICK if scale.quick else FULL


def runs(scale: Scale) -> list[Asked]:
    """The network alone and with exits, once per seed."""
    size = size_of(scale)
    data = {
        "name": "cifar10",
        "subset": size.images + size.held_out,
        "validation": size.held_out,
        "augment": {"flip": True, "crop": 4},
        "batch": 128,
    }
    same: dict[str, Any] = {"data": data, "train": training(size.epochs)}
    method = {"name": "byot", "scaled_by_t2": True, "delivers": "early_exit", "accuracy_drop": 0.5}
    return [
        *alone("deep", scale, NETWORK, **same),
        Asked("exits", recipe("exits", scale, {"student": NETWORK}, method, **same)),
    ]


@dataclass(frozen=True)
class Early:
    """A network with early exits.

    Args:
        end: errors of the network's own end.
        early: errors with exits.
        exits: of each seed, as `limbeck.evaluate.exits.measure_exits` has them.
    """

    end: Errors
    early: Errors
    exits: Sequence[Mapping[str, Any]]

    @staticmethod
    def of(several: Sequence[Finished], answers: Sequence[ExitAnswers]) -> Early:
        """From finished runs and what their classifiers say of the test images.

        Times are measured here, when nothing else should be running.
        """
        timed = [_timed(one, found) for one, found in zip(several, answers, strict=True)]
        return Early(heads(answers)[-1], Errors.of(several), timed)

    @property
    def times(self) -> list[float]:
        """Mean time of one image, as a share of the network's, seed by seed."""
        return [one["early"]["mean_ms"] / one["network"]["mean_ms"] for one in self.exits]

    def lines(self, where: str) -> list[Line]:
        """The figures."""
        costs = [one["early"]["flops"] / one["network"]["flops"] for one in self.exits]
        return [
            Line(f"early exits, {where}: test accuracy", "–", shown(self.early)),
            Line(f"early exits, {where}: mean operations, of the network's", "–", f"{fmean(costs):.0%}"),
            Line(f"early exits, {where}: mean time of one image, of the network's", "–", f"{fmean(self.times):.0%}"),
        ]

    def claims(self, alone: Errors) -> list[Claim]:
        """As accurate as the end and as the network alone, in less time."""
        return [
            no_worse(self.early, self.end, "On CIFAR-10 early exits are no less accurate than the end"),
            no_worse(self.early, alone, "On CIFAR-10 early exits are no less accurate than the network alone"),
            Claim(
                "On CIFAR-10 an image takes less time on average with early exits",
                max(self.times) <= SAVED,
                f"{', '.join(f'{time:.0%}' for time in self.times)} of the network's, seed by seed, heads included, in "
                f"PyTorch, threads: {self.exits[0]['timing']['threads']}; asked for: at most {SAVED:.0%}",
            ),
        ]


def notes(scale: Scale) -> tuple[str, ...]:
    """What a reader must know."""
    size = size_of(scale)
    return (
        f"early exits are tried with a ResNet-56 on {size.images:,} images of CIFAR-10 for {size.epochs} epochs; their "
        f"thresholds are chosen on {size.held_out:,} held-out images, where they may cost half a point",
        "on the 100 classes early exits are reported only, where they may cost one point",
    )


def answers_of(one: Finished) -> ExitAnswers:
    """What all classifiers say of the test images."""
    return predict_exits(_exits(one), _batches(one), one.run.recipe.task.run)


def heads(several: Sequence[ExitAnswers]) -> list[Errors]:
    """Of each classifier, the end last."""
    return [
        Errors.in_predictions([Predictions(found.logits[:, number], found.labels, found.ids) for found in several])
        for number in range(several[0].logits.shape[1])
    ]


def together(several: Sequence[ExitAnswers]) -> Errors:
    """Of all classifiers: the mean of their logits, as `delivers: ensemble` has it."""
    return Errors.in_predictions([Predictions(found.logits.mean(1), found.labels, found.ids) for found in several])


def _exits(one: Finished) -> Exits:
    return cast(Exits, cast(Any, one.network("last")).network)


def _batches(one: Finished) -> Any:
    part = tested_part(one.data)
    assert part is not None  # noqa: S101 - the recipes have a test split
    return batches_of(part, one.run.recipe, torch.device("cpu"))


def _timed(one: Finished, answers: ExitAnswers) -> dict[str, Any]:
    return measure_exits(_exits(one), _batches(one), run=one.run.recipe.task.run, answers=answers)


def picture(exits: Sequence[Mapping[str, Any]]) -> Picture:
    """Accuracy against time."""

    def draw(axes: Axes) -> None:
        for one in exits:
            points = [(point["mean_ms"], 100 * point["accuracy"]) for point in one["sweep"]]
            axes.plot(*zip(*points, strict=True), color=GOOD, marker=".", linewidth=1)
            axes.plot(one["early"]["mean_ms"], 100 * one["early"]["accuracy"], "o", color=INK)
            axes.plot(one["network"]["mean_ms"], 100 * one["network"]["accuracy"], "s", color=BAD)
        axes.set(xlabel="mean time of one image, ms", ylabel="test accuracy, %")

    caption = "Line: one threshold for all exits. Circle: thresholds chosen on the validation split. Square: no exits."
    return Picture("exits", "Accuracy against time, CIFAR-10", caption, draw, width=420, height=290)
