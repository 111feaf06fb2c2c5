"""Section 3: a large net, a small one alone, and the small one under the soft targets of the large one at T = 20."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.recipe.results import Role
from limbeck.report.drawing import BAD, GOOD, LOOKS, MUTED
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.setting import PAPER, alone, distilled, notes, teacher
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAPERS: Mapping[Role, int] = {"teacher": 67, "alone": 146, "distilled": 74}
TEACHER_BELOW = 90
CLOSED = 0.5


@dataclass(frozen=True)
class Mnist:
    """Teacher, student alone, student distilled."""

    title: str = "A small net without regularisation learns from a large one's soft targets what the large one learned."
    paper: str = f"{PAPER}, section 3"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One teacher; the student alone and distilled, equally long."""
        length = "40 epochs" if scale.quick else "150 epochs"
        return (
            teacher(scale),
            alone("alone", scale, length=length),
            distilled("distilled", scale, length=length),
        )

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Errors out of 10 000."""
        errors = {label: Errors.of(done.of(label)) for label in PAPERS}
        names: Mapping[Role, str] = {
            "teacher": "1200-1200 with dropout and jitter",
            "alone": "800-800 alone",
            "distilled": "800-800 distilled at T = 20",
        }
        lines = [
            Line(f"{name}: errors of {errors[label].images:,}", str(PAPERS[label]), str(errors[label]))
            for label, name in names.items()
        ]
        share = closed(errors["teacher"].mean, errors["alone"].mean, errors["distilled"].mean)
        papers = closed(PAPERS["teacher"], PAPERS["alone"], PAPERS["distilled"])
        lines.append(Line("share of the gap to the teacher that distilling closes", f"{papers:.0%}", f"{share:.0%}"))
        return Outcome(
            tuple(lines),
            (_helps(errors), _closes(errors, share), _better(errors) if scale.quick else _taught(errors["teacher"])),
            (_bars(errors), _curves(done)),
            notes(scale),
        )


def closed(teacher: float, alone: float, distilled: float) -> float:
    """The share of the student's gap to its teacher that distilling closes; 0 without a gap."""
    return (alone - distilled) / (alone - teacher) if alone > teacher else 0.0


def _helps(errors: Mapping[Role, Errors]) -> Claim:
    fewer = errors["distilled"].fewer_than(errors["alone"])
    return Claim(
        "The student makes fewer errors under soft targets than alone",
        fewer.clear,
        f"{fewer} fewer, against {CLEAR:g} times the noise over seeds and test images",
    )


def _closes(errors: Mapping[Role, Errors], share: float) -> Claim:
    gap, fewer = errors["teacher"].fewer_than(errors["alone"]), errors["distilled"].fewer_than(errors["alone"])
    return Claim(
        "Distilling closes at least half of the student's gap to its teacher",
        gap.clear and share >= CLOSED,
        f"the gap is {gap} errors, distilling removes {fewer}: {share:.0%}",
    )


def _taught(errors: Errors) -> Claim:
    return Claim(
        f"The large net makes fewer than {TEACHER_BELOW} errors",
        errors.mean < TEACHER_BELOW,
        f"{errors}; another test set of this size would give ± {errors.counting:.0f}",
    )


def _better(errors: Mapping[Role, Errors]) -> Claim:
    """What can be asked of a large net that has seen a part of the images for a short time."""
    fewer = errors["teacher"].fewer_than(errors["alone"])
    return Claim(
        "The large net makes fewer errors than the small one alone",
        fewer.clear,
        f"{fewer} fewer, against {CLEAR:g} times the noise over seeds and test images",
    )


def _bars(errors: Mapping[Role, Errors]) -> Picture:
    def draw(axes: Axes) -> None:
        for place, (label, paper) in enumerate(PAPERS.items()):
            found, colour = errors[label], LOOKS[label].colour
            axes.bar(place, found.mean, width=0.5, color=colour, alpha=0.45)
            axes.errorbar(place, found.mean, found.noise, color=colour, capsize=4, linewidth=1.5)
            axes.plot([place] * len(found.counts), found.counts, ".", color=colour, markersize=6)
            axes.plot([place - 0.32, place + 0.32], [paper, paper], color=MUTED, linestyle=(0, (4, 2)), linewidth=1.5)
        axes.set_xticks(range(len(PAPERS)), list(PAPERS))
        axes.set(ylabel="test errors", ylim=(0, None))

    caption = "Bars: means, with their noise over seeds and test images. Dots: seeds. Dashed: the paper's figures."
    return Picture("errors", "Errors out of 10,000", caption, draw)


def _curves(done: Done) -> Picture:
    def draw(axes: Axes) -> None:
        for label, term, colour in (("alone", "task", BAD), ("distilled", "kd", GOOD)):
            for one in done.of(label):
                points = [(line["epoch"], line["terms"][term]) for line in one.curves if term in line.get("terms", ())]
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, alpha=0.8)
            axes.annotate(label, points[-1], (-4, 6), textcoords="offset points", color=colour, ha="right")
        axes.set(yscale="log", xlabel="epoch", ylabel="training loss")

    caption = "Hard labels are learned by heart, and nothing is left to learn; the teacher's soft targets are not."
    return Picture("losses", "Training loss", caption, draw)


EXPERIMENT = Mnist()
