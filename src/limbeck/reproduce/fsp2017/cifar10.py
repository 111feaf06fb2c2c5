"""Fast optimisation and network minimisation on CIFAR-10.

A 26-layer teacher is trained. Students of its kind learn its flows for a third of its epochs and then the labels for
another third. They are compared with students that have that last third only, with those that spend the flows' third on
labels too, and with those that have a full training. With the teacher's channels shuffled for each student, students
differ more from each other, which an ensemble of them shows. A student of 8 layers is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD, INK, MUTED
from limbeck.reproduce.claims import better, no_worse, shown
from limbeck.reproduce.ensembles import mean_of
from limbeck.reproduce.experiment import Line, Outcome, Picture, Scale
from limbeck.reproduce.fsp2017.setting import PAPER, TEACHER_SEED, Size, cifar10, notes, recipe, size_of
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BIG, SMALL = {"name": "resnet26"}, {"name": "resnet8"}
TEACHER = {"from": {"recipe": "teacher.yaml", "seed": TEACHER_SEED}}
LABELS: Mapping[str, str] = {
    "teacher": "26 layers, the teacher",
    "full": "26 layers, full training",
    "short": "26 layers, a third of it",
    "longer": "26 layers, two thirds of it",
    "flow": "26 layers, flows, then a third of it",
    "shuffled": "the same, the teacher's channels shuffled",
    "small": "8 layers, full training",
    "small-hints": "8 layers, FitNets",
    "small-flow": "8 layers, flows",
}
PUBLISHED: Mapping[str, str] = {
    "full": "91.75 %",
    "flow": "92.14 %",
}


@dataclass(frozen=True)
class FspCifar10:
    """Teachers, students with and without flows, and small ones."""

    title: str = "Learning a teacher's flows first makes training on labels faster."
    paper: str = f"{PAPER}, sections 4.1 and 4.2"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One teacher; every other network once per seed."""
        size = size_of(scale)
        data, half = cifar10(size), {"name": "fsp", "flow_share": 0.5}
        whole = {"name": "fsp", "flow_share": 0.25}
        small = {"name": "fitnets", "hint_share": 0.25}
        return (
            Asked("teacher", recipe("teacher", data, BIG, size.whole), seeds=(TEACHER_SEED,)),
            Asked("full", recipe("full", data, BIG, size.whole)),
            Asked("short", recipe("short", data, BIG, size.short)),
            Asked("longer", recipe("longer", data, BIG, size.twice)),
            Asked("flow", recipe("flow", data, BIG, size.twice, method=half, teacher=TEACHER)),
            Asked(
                "shuffled", recipe("shuffled", data, BIG, size.twice, method={**half, "shuffle": True}, teacher=TEACHER)
            ),
            Asked("small", recipe("small", data, SMALL, size.whole)),
            Asked("small-hints", recipe("small-hints", data, SMALL, _longer(size), method=small, teacher=TEACHER)),
            Asked("small-flow", recipe("small-flow", data, SMALL, _longer(size), method=whole, teacher=TEACHER)),
        )

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies after as many, after more, and after all steps."""
        errors = {label: Errors.of(done.of(label)) for label in LABELS}
        together = {label: _ensemble(done.of(label)) for label in ("full", "flow", "shuffled")}
        members = len(done.of("flow"))
        lines = (
            *(
                Line(f"{name}: test accuracy", PUBLISHED.get(label, "–"), shown(errors[label]))
                for label, name in LABELS.items()
            ),
            *(
                Line(f"ensemble of {members}, {LABELS[label]}: test accuracy", paper, shown(together[label]))
                for label, paper in (("full", "93.48 %"), ("flow", "–"), ("shuffled", "–"))
                if members > 1
            ),
        )
        claims = [
            better(errors["flow"], errors["short"], "After equally many steps on labels, flows make it better"),
            no_worse(
                errors["flow"],
                errors["full"],
                "After flows, a third of the steps on labels is no worse than all of them",
            ),
            better(errors["flow"], errors["longer"], "Flows are worth more than as many further steps on labels"),
        ]
        if members > 1:
            text = "An ensemble of students with shuffled channels is no worse than one of students without"
            claims.append(no_worse(together["shuffled"], together["flow"], text))
        small = (
            "the small student is reported, not promised: elsewhere it gained and lost up to half a point; FitNets "
            "learns its hints at the full rate, flows are learnt at a hundredth of it; the paper's figures for the "
            "small student, and for ensembles as they are made here, could not be verified"
        )
        return Outcome(lines, tuple(claims), (_curves(done, scale), _bars(errors)), (*notes(scale), small))


def _longer(size: Size) -> str:
    """A quarter for features or flows, so that what is left for the labels is a full training."""
    return f"{4 * size.third} epochs"


def _ensemble(members: Sequence[Finished]) -> Errors:
    return Errors.in_predictions([mean_of([member.predictions() for member in members])])


def curve(one: Finished, stage: str) -> list[tuple[int, float]]:
    """Steps within a stage, and the accuracy on the images held out after them."""
    first = next(number for number, line in enumerate(one.curves) if line["stage"] == stage)
    before = one.curves[first - 1]["step"] if first else 0
    return [
        (line["step"] - before, line["validation"]["accuracy"])
        for line in one.curves
        if "validation" in line and line["stage"] == stage
    ]


def _curves(done: Done, scale: Scale) -> Picture:
    def draw(axes: Axes) -> None:
        for label, stage, colour in (("short", "main", BAD), ("flow", "task", GOOD), ("full", "main", MUTED)):
            for one in done.of(label):
                points = curve(one, stage)
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.2, alpha=0.8)
            axes.annotate(label, points[-1], (-4, 6), textcoords="offset points", color=colour, ha="right")
        axes.set(xlabel="steps on labels", ylabel="accuracy on held-out images")

    caption = "Grey: the full training, three times as long. Orange: a third of it. Blue: the same third after flows."
    return Picture("optimisation", "Accuracy by steps", caption, draw, width=420, height=300)


def _bars(errors: Mapping[str, Errors]) -> Picture:
    def draw(axes: Axes) -> None:
        colours = {"short": BAD, "longer": BAD, "flow": GOOD, "shuffled": GOOD, "small": BAD}
        for place, (label, found) in enumerate(errors.items()):
            accuracy, colour = 100 * (1 - found.rate), colours.get(label, INK)
            axes.errorbar(place, accuracy, 100 * found.noise / found.images, color=colour, marker="o", capsize=4)
            axes.plot(
                [place] * len(found.counts), [100 * (1 - c / found.images) for c in found.counts], ".", color=colour
            )
        axes.set_xticks(range(len(errors)), list(errors), rotation=30, ha="right")
        axes.set(ylabel="test accuracy, %")

    caption = "Means with their noise over seeds and test images; dots: seeds."
    return Picture("accuracies", "Test accuracy", caption, draw, width=420, height=300)


EXPERIMENT = FspCifar10()
