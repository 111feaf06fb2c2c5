"""Native ensembles: one branch, all branches behind the gate, without the gate, without distilling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from limbeck.adapters.branches import branch
from limbeck.adapters.gate import GatedEnsemble
from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD, INK, MUTED
from limbeck.reproduce.claims import better, shown
from limbeck.reproduce.experiment import Line, Outcome, Picture, Scale
from limbeck.reproduce.without_teacher.setting import BIG, alone, answers, every, independent, notes, recipe
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BRANCHES = 3
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "one": ("ONE", {}),
    "one-ungated": ("without the gate", {"gate": False}),
    "one-undistilled": ("without distilling", {"soft_weight": 0.0}),
}
PUBLISHED = {"alone": "68.82 %", "one": "73.39 %", "one-together": "75.37 %"}
"""ResNet-32 on CIFAR-100; the other figures were not at hand."""
_REMEMBERED = "the paper's figures are as remembered from its table, of ResNet-32 on CIFAR-100"


@dataclass(frozen=True)
class One2018:
    """A network alone, with branches, and independent networks."""

    title: str = "A network that learns from the ensemble of its own branches is better, at no cost when it is used."
    paper: str = "Lan, Zhu, Gong, Knowledge Distillation by On-the-Fly Native Ensemble, NeurIPS 2018, arXiv:1806.04606"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Every network once per seed."""
        return [
            *alone("alone", scale, BIG, members=BRANCHES),
            *(Asked(label, recipe(label, scale, {"student": BIG}, _one(own))) for label, (_, own) in WAYS.items()),
        ]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies of one branch and of all."""
        return Found(
            alone=every(done, "alone", BRANCHES),
            branches={label: _of_branches(done.of(label)) for label in WAYS},
            gated={label: Errors.of(done.of(label)) for label in WAYS},
            independent=independent(done, "alone", BRANCHES),
        ).outcome(scale)


@dataclass(frozen=True)
class Found:
    """What the runs came to.

    Args:
        alone: errors of the network alone.
        branches: label -> of one branch, as the mean of all.
        gated: label -> of all branches together.
        independent: of as many independent networks together.
    """

    alone: Errors
    branches: Mapping[str, Errors]
    gated: Mapping[str, Errors]
    independent: Errors

    def outcome(self, scale: Scale) -> Outcome:
        """The verdict."""
        one, together = self.branches["one"], self.gated["one"]
        lines = [Line("the network alone: test accuracy", PUBLISHED["alone"], shown(self.alone))]
        for what, found, ending in (("one branch", self.branches, ""), ("all branches", self.gated, "-together")):
            lines += [
                Line(f"{what}, {name}: test accuracy", PUBLISHED.get(f"{label}{ending}", "–"), shown(found[label]))
                for label, (name, _) in WAYS.items()
            ]
        lines.append(Line(f"{BRANCHES} independent networks together: test accuracy", "–", shown(self.independent)))
        claims = (
            better(one, self.alone, "One branch is better than the network alone"),
            better(together, one, "All branches together are better than one of them"),
            better(one, self.branches["one-undistilled"], "Without distilling, a branch is worse"),
            better(one, self.branches["one-ungated"], "Without the gate, a branch is worse"),
        )
        fair = f"{BRANCHES} branches cost more to train than one network, and less than {BRANCHES} independent ones"
        mean = f"one branch is the mean of all {BRANCHES}, its spread that of these means over seeds"
        return Outcome(tuple(lines), claims, (_picture(self),), (*notes(scale), fair, mean, _REMEMBERED))


def _one(own: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "one", "branches": BRANCHES, "delivers": "ensemble", **own}


def _of_branches(several: Sequence[Finished]) -> Errors:
    """Each branch as the plain network that it is; those of one run are one seed."""
    found = [(cast(GatedEnsemble, cast(Any, one.network("last")).network), one) for one in several]
    return Errors.in_predictions(
        [answers(branch(ensemble.network, number), one) for ensemble, one in found for number in range(BRANCHES)],
        group=BRANCHES,
    )


def _picture(made: Found) -> Picture:
    shown_as = {"alone": (made.alone, BAD)}
    shown_as |= {f"branch,\n{WAYS[label][0]}": (found, GOOD) for label, found in made.branches.items()}
    shown_as |= {f"all,\n{WAYS[label][0]}": (found, INK) for label, found in made.gated.items()}
    shown_as["independent\ntogether"] = (made.independent, MUTED)

    def draw(axes: Axes) -> None:
        for place, (found, colour) in enumerate(shown_as.values()):
            accuracy, noise = 100 * (1 - found.rate), 100 * found.noise / found.images
            axes.errorbar(place, accuracy, noise, color=colour, marker="o", capsize=4)
        axes.set_xticks(range(len(shown_as)), list(shown_as), rotation=30, ha="right")
        axes.set(ylabel="test accuracy, %")

    return Picture(
        "branches", "Test accuracy", "Means with their noise over seeds and test images.", draw, width=460, height=310
    )


EXPERIMENT = One2018()
