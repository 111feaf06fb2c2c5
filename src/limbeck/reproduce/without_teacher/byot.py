"""Be your own teacher: every head, all of them together, and early exits on the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

import torch

from limbeck.adapters.exits import Exits
from limbeck.compare.noise import Errors
from limbeck.evaluate.exits import ExitAnswers, measure_exits, predict_exits
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.measure import batches_of, tested_part
from limbeck.report.drawing import BAD, GOOD, INK
from limbeck.reproduce.claims import better, no_worse, shown
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.without_teacher.setting import alone, notes, recipe, together
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEEP = {"name": "resnet32"}
WAYS: Mapping[str, Mapping[str, Any]] = {"byot": {}, "supervised-heads": {"alpha": 0.0, "feature_weight": 0.0}}
PUBLISHED = {"alone": "77.09 %", "head-1": "67.85 %", "head-2": "74.57 %", "end": "78.64 %", "together": "79.67 %"}
"""ResNet-18 on CIFAR-100; its third head, of four classifiers, has 78.23 %."""
SAVED = 0.95
"""Faster is a mean time of at most so much of the whole network's."""


@dataclass(frozen=True)
class Byot2019:
    """A network alone, with heads that learn from its end, and with heads that learn from labels only."""

    title: str = "A network that teaches its own shallow layers is better, and can answer easy images early."
    paper: str = "Zhang, Song, Gao, Chen, Bao, Ma, Be Your Own Teacher, ICCV 2019, arXiv:1905.08094"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Every network once per seed."""
        method = {"name": "byot", "delivers": "early_exit", "accuracy_drop": 0.0}
        heads = [
            Asked(label, recipe(label, scale, {"student": DEEP}, {**method, **own})) for label, own in WAYS.items()
        ]
        return [*alone("deep", scale, DEEP), *heads]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies of all classifiers; times are measured here, when nothing else is running."""
        return Found(
            alone=Errors.of(done.of("deep")),
            heads={label: _heads(done.of(label)) for label in WAYS},
            together={label: together([_parts(_answers(one)) for one in done.of(label)]) for label in WAYS},
            early=Errors.of(done.of("byot")),
            exits=[_timed(one) for one in done.of("byot")],
        ).outcome(scale)


@dataclass(frozen=True)
class Found:
    """What the runs came to.

    Args:
        alone: errors of the network alone.
        heads: label -> of each classifier, the end last.
        together: label -> of all classifiers' mean.
        early: of the network with early exits.
        exits: of each seed, as `limbeck.evaluate.exits.measure_exits` has them.
    """

    alone: Errors
    heads: Mapping[str, Sequence[Errors]]
    together: Mapping[str, Errors]
    early: Errors
    exits: Sequence[Mapping[str, Any]]

    def outcome(self, scale: Scale) -> Outcome:
        """The verdict."""
        own, labels = self.heads["byot"], self.heads["supervised-heads"]
        times = [one["early"]["mean_ms"] / one["network"]["mean_ms"] for one in self.exits]
        costs = [one["early"]["flops"] / one["network"]["flops"] for one in self.exits]
        names = [*(f"head {number + 1}" for number in range(len(own) - 1)), "end"]
        lines = [Line("the network alone: test accuracy", PUBLISHED["alone"], shown(self.alone))]
        for name, one, other in zip(names, own, labels, strict=True):
            paper = PUBLISHED.get(name.replace(" ", "-"), "–")
            lines.append(Line(f"{name}, its own teacher: test accuracy", paper, shown(one)))
            lines.append(Line(f"{name}, deep supervision: test accuracy", "–", shown(other)))
        lines += [
            Line("all classifiers together: test accuracy", PUBLISHED["together"], shown(self.together["byot"])),
            Line("early exits: test accuracy", "–", shown(self.early)),
            Line("early exits: mean operations, of the network's", "–", f"{fmean(costs):.0%}"),
            Line("early exits: mean time of one image, of the network's", "–", f"{fmean(times):.0%}"),
        ]
        claims = (
            better(own[-1], self.alone, "The end is better than the network alone"),
            better(self.together["byot"], own[-1], "All classifiers together are better than the end"),
            no_worse(own[-2], self.alone, "The last head before the end is not clearly worse than the network alone"),
            better(own[0], labels[0], "The first head is better than under deep supervision"),
            no_worse(self.early, own[-1], "With early exits the accuracy is not clearly worse than the end's"),
            Claim(
                "With early exits one image takes less time on average",
                max(times) <= SAVED,
                f"{', '.join(f'{time:.0%}' for time in times)} of the network's, seed by seed, heads included, in "
                f"PyTorch, threads: {self.exits[0]['timing']['threads']}; asked for: at most {SAVED:.0%}",
            ),
        )
        said = (
            "heads are compared with deep supervision (heads with labels only), everything with the same augmentation"
        )
        return Outcome(tuple(lines), claims, (_sweep(self.exits), _bars(self, names)), (*notes(scale), said))


def _exits(one: Finished) -> Exits:
    return cast(Exits, cast(Any, one.network("last")).network)


def _batches(one: Finished) -> Any:
    part = tested_part(one.data)
    assert part is not None  # noqa: S101 - the recipes above have a test split
    return batches_of(part, one.run.recipe, torch.device("cpu"))


def _answers(one: Finished) -> ExitAnswers:
    return predict_exits(_exits(one), _batches(one), one.run.recipe.task.run)


def _parts(found: ExitAnswers) -> list[Predictions]:
    return [Predictions(logits, found.labels, found.ids) for logits in found.logits.unbind(1)]


def _heads(several: Sequence[Finished]) -> list[Errors]:
    return [Errors.in_predictions(list(each)) for each in zip(*(_parts(_answers(one)) for one in several), strict=True)]


def _timed(one: Finished) -> dict[str, Any]:
    return measure_exits(_exits(one), _batches(one), run=one.run.recipe.task.run)


def _sweep(exits: Sequence[Mapping[str, Any]]) -> Picture:
    def draw(axes: Axes) -> None:
        for one in exits:
            points = [(point["mean_ms"], 100 * point["accuracy"]) for point in one["sweep"]]
            axes.plot(*zip(*points, strict=True), color=GOOD, marker=".", linewidth=1)
            axes.plot(one["early"]["mean_ms"], 100 * one["early"]["accuracy"], "o", color=INK)
            axes.plot(one["network"]["mean_ms"], 100 * one["network"]["accuracy"], "s", color=BAD)
        axes.set(xlabel="mean time of one image, ms", ylabel="test accuracy, %")

    caption = "Line: one threshold for all exits. Circle: thresholds chosen on the validation split. Square: no exits."
    return Picture("exits", "Accuracy against time", caption, draw, width=420, height=290)


def _bars(found: Found, names: Sequence[str]) -> Picture:
    def draw(axes: Axes) -> None:
        for shift, (label, colour) in ((-0.1, ("supervised-heads", BAD)), (0.1, ("byot", GOOD))):
            several = [*found.heads[label], found.together[label]]
            for place, one in enumerate(several):
                accuracy, noise = 100 * (1 - one.rate), 100 * one.noise / one.images
                axes.errorbar(place + shift, accuracy, noise, color=colour, marker="o", capsize=3)
        axes.axhline(100 * (1 - found.alone.rate), color=INK, linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(names) + 1), [*names, "together"])
        axes.set(ylabel="test accuracy, %")

    caption = "Blue: heads learn from the end. Orange: from labels only. Dotted: the network alone."
    return Picture("heads", "Test accuracy by classifier", caption, draw, width=420, height=280)


EXPERIMENT = Byot2019()
