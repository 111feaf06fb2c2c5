"""Transfer learning: the teacher knows one data set, the student learns another.

Both ways between CIFAR-10 and 100 classes of Tiny ImageNet at the same size. The teacher's images are many and the
student's few, as in the paper, whose student learns from a few thousand pictures of birds. The student has 20 layers
and learns the teacher's flows on its own images. It is compared with a student that has as many steps on labels from
random weights, with one that spends the flows' steps on labels too, and with the teacher itself, fine-tuned: its
weights, a new classifier, as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD, INK
from limbeck.reproduce.claims import better, shown
from limbeck.reproduce.experiment import Line, Outcome, Picture, Scale
from limbeck.reproduce.fsp2017.setting import PAPER, TEACHER_SEED, Size, cifar10, hundred, notes, recipe, size_of
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATA: Mapping[str, Callable[[Size], dict[str, Any]]] = {"cifar10": cifar10, "hundred": hundred}
NAMES = {"cifar10": "CIFAR-10", "hundred": "100 classes"}
WAYS = {
    "alone": "random weights",
    "longer": "random weights, twice as many steps",
    "flow": "flows first",
    "tuned": "the teacher, fine-tuned",
}
STUDENTS = Size(cifar10=5_000, hundred=5_000, third=20)
QUICK_STUDENTS = Size(cifar10=2_000, hundred=2_000, third=6)
_COLOURS = {"alone": BAD, "longer": BAD, "flow": GOOD, "tuned": INK}


@dataclass(frozen=True)
class FspTransfer:
    """A teacher and four students for each direction."""

    title: str = "Flows of a teacher of another data set help a student."
    paper: str = f"{PAPER}, section 4.3"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One teacher for each data set; each student once per seed."""
        size, few = size_of(scale), students_of(scale)
        asked = [
            Asked(
                f"teacher-{name}",
                recipe(f"teacher-{name}", data(size), {"name": "resnet32"}, size.whole),
                seeds=(TEACHER_SEED,),
            )
            for name, data in DATA.items()
        ]
        for source, target in _directions():
            data = DATA[target](few)
            before = {"recipe": f"teacher-{source}.yaml", "seed": TEACHER_SEED, "head": "refitted"}
            flows = {"name": "fsp", "flow_share": 0.5}
            student = {"name": "resnet20"}
            asked += [
                Asked(f"alone-{target}", recipe(f"alone-{target}", data, student, few.short)),
                Asked(f"longer-{target}", recipe(f"longer-{target}", data, student, few.twice)),
                Asked(
                    f"flow-{target}",
                    recipe(f"flow-{target}", data, student, few.twice, method=flows, teacher={"from": before}),
                ),
                Asked(f"tuned-{target}", recipe(f"tuned-{target}", data, {"from": before}, few.short, rate=0.01)),
            ]
        return asked

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies on the student's data."""
        errors = {(target, way): Errors.of(done.of(f"{way}-{target}")) for _, target in _directions() for way in WAYS}
        teachers = {name: Errors.of(done.of(f"teacher-{name}")) for name in DATA}
        lines = (
            *(
                Line(f"teacher, 32 layers, {NAMES[name]}: test accuracy", "–", shown(one))
                for name, one in teachers.items()
            ),
            *(
                Line(f"{NAMES[target]}, {WAYS[way]}: test accuracy", "–", shown(found))
                for (target, way), found in errors.items()
            ),
        )
        claims = tuple(
            better(
                errors[target, "flow"],
                errors[target, control],
                f"From {NAMES[source]} to {NAMES[target]}: {text}",
            )
            for source, target in _directions()
            for control, text in (
                ("alone", "after equally many steps on labels, flows make it better"),
                ("longer", "flows are worth more than as many further steps on labels"),
            )
        )
        other = "the paper transfers from ImageNet to birds, with a 34-layer teacher; its figures could not be read"
        return Outcome(lines, claims, (_bars(errors),), (*notes(scale, students_of(scale)), other))


def students_of(scale: Scale) -> Size:
    """The images and epochs of a student; its teacher's are those of all these experiments."""
    return QUICK_STUDENTS if scale.quick else STUDENTS


def _directions() -> tuple[tuple[str, str], ...]:
    """Data of the teacher, data of the student."""
    return ("cifar10", "hundred"), ("hundred", "cifar10")


def _bars(errors: Mapping[tuple[str, str], Errors]) -> Picture:
    def draw(axes: Axes) -> None:
        for place, ((target, way), found) in enumerate(errors.items()):
            gain = 100 * (errors[target, "alone"].rate - found.rate)
            noise = 100 * found.noise / found.images
            axes.errorbar(gain, place, xerr=noise, color=_COLOURS[way], marker="o", capsize=4)
        axes.set_yticks(range(len(errors)), [f"{NAMES[target]}: {WAYS[way]}" for target, way in errors])
        axes.invert_yaxis()
        axes.axhline(len(WAYS) - 0.5, color=INK, linewidth=0.5)
        axes.set(xlabel="points above random weights")

    caption = "Means with their noise over seeds and test images. Every student has as many steps on labels, or twice."
    return Picture("transfer", "Test accuracy on the student's data", caption, draw, width=520, height=340)


EXPERIMENT = FspTransfer()
