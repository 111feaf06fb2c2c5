"""Be your own teacher: every head, all of them together, and early exits on the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD, INK
from limbeck.reproduce.claims import better, no_worse, shown
from limbeck.reproduce.experiment import Line, Outcome, Picture, Scale
from limbeck.reproduce.without_teacher import exits
from limbeck.reproduce.without_teacher.exits import Early, answers_of, heads, together
from limbeck.reproduce.without_teacher.setting import alone, hundred, notes, recipe, size_of
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NETWORK = {"name": "resnet", "depth": 14, "widths": [16, 32, 64, 128]}
"""Two blocks per stage, as in the paper's ResNet-18, and twice as wide as other networks of its depth: a head that is
narrower than its stage needs channels."""
WAYS: Mapping[str, Mapping[str, Any]] = {"byot": {}, "supervised-heads": {"alpha": 0.0, "feature_weight": 0.0}}
PUBLISHED = {"alone": "77.09 %", "head-1": "67.85 %", "head-2": "74.57 %", "end": "78.64 %", "together": "79.67 %"}
"""ResNet-18 on CIFAR-100; its third head, of four classifiers, has 78.23 %."""
_NOTES = (
    "heads are compared with deep supervision (heads with labels only), everything with the same augmentation",
    "soft terms are multiplied by T², as in the public code that reaches the paper's figures; without it they are a "
    "hundredth of a head's loss",
)


@dataclass(frozen=True)
class Byot2019:
    """A network alone, with heads that learn from its end, and with heads that learn from labels only."""

    title: str = "A network that teaches its own shallow layers is better, and can answer easy images early."
    paper: str = "Zhang, Song, Gao, Chen, Bao, Ma, Be Your Own Teacher, ICCV 2019, arXiv:1905.08094"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Every network once per seed."""
        size = size_of(scale)
        data = hundred(size.images, held_out=size.held_out)
        method = {"name": "byot", "scaled_by_t2": True, "delivers": "early_exit", "accuracy_drop": 1.0}
        return [
            *alone("byot-alone", scale, NETWORK, data=data),
            *(
                Asked(label, recipe(label, scale, {"student": NETWORK}, {**method, **own}, data=data))
                for label, own in WAYS.items()
            ),
            *exits.runs(scale),
        ]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies of all classifiers; times are measured here, when nothing else is running."""
        answers = {label: [answers_of(one) for one in done.of(label)] for label in (*WAYS, "exits")}
        return Found(
            alone=Errors.of(done.of("byot-alone")),
            heads={label: heads(answers[label]) for label in WAYS},
            together={label: together(answers[label]) for label in WAYS},
            early=Early.of(done.of("byot"), answers["byot"]),
            deep=Errors.of(done.of("deep")),
            early_deep=Early.of(done.of("exits"), answers["exits"]),
        ).outcome(scale)


@dataclass(frozen=True)
class Found:
    """What the runs came to.

    Args:
        alone: errors of the network alone.
        heads: label -> of each classifier, the end last.
        together: label -> of all classifiers' mean.
        early: of the network with early exits.
        deep: of the deep network on CIFAR-10 alone.
        early_deep: of that network with early exits.
    """

    alone: Errors
    heads: Mapping[str, Sequence[Errors]]
    together: Mapping[str, Errors]
    early: Early
    deep: Errors
    early_deep: Early

    def outcome(self, scale: Scale) -> Outcome:
        """The verdict."""
        own, labels = self.heads["byot"], self.heads["supervised-heads"]
        names = [*(f"head {number + 1}" for number in range(len(own) - 1)), "end"]
        lines = [Line("the network alone: test accuracy", PUBLISHED["alone"], shown(self.alone))]
        for name, one, other in zip(names, own, labels, strict=True):
            paper = PUBLISHED.get(name.replace(" ", "-"), "–")
            lines.append(Line(f"{name}, its own teacher: test accuracy", paper, shown(one)))
            lines.append(Line(f"{name}, deep supervision: test accuracy", "–", shown(other)))
        lines += [
            Line("all classifiers together: test accuracy", PUBLISHED["together"], shown(self.together["byot"])),
            Line("all together, deep supervision: test accuracy", "–", shown(self.together["supervised-heads"])),
            *self.early.lines("100 classes"),
            Line("ResNet-56 alone, CIFAR-10: test accuracy", "–", shown(self.deep)),
            Line("ResNet-56, its end with heads before it, CIFAR-10: test accuracy", "–", shown(self.early_deep.end)),
            *self.early_deep.lines("CIFAR-10"),
        ]
        claims = (
            better(own[-1], self.alone, "The end is better than the network alone"),
            better(self.together["byot"], own[-1], "All classifiers together are better than the end"),
            no_worse(own[-2], self.alone, "The last head before the end is no worse than the network alone"),
            better(own[0], labels[0], "The first head is better than under deep supervision"),
            *self.early_deep.claims(self.deep),
        )
        pictures = (exits.picture(self.early_deep.exits), _bars(self, names))
        return Outcome(tuple(lines), claims, pictures, (*notes(scale), *_NOTES, *exits.notes(scale)))


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
