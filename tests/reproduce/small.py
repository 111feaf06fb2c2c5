"""A small experiment on the embedded digits, and one that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import GOOD
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def recipe(length: str, hidden: int) -> dict[str, Any]:
    return {
        "data": {"name": "digits", "batch": 64, "subset": 400, "validation": 0},
        "models": {"student": {"name": "mlp", "hidden": [hidden]}},
        "method": "supervised",
        "train": {"length": length, "optimizer": {"name": "adamw", "lr": 0.01}},
        "report": False,
    }


@dataclass(frozen=True)
class Small:
    """A teacher, a student alone and one that stands on the teacher."""

    title: str = "A <b>small</b> experiment."
    paper: str = "Nobody, Nowhere"
    length: str = "2 epochs"
    most: int = 10_000

    def runs(self, scale: Scale) -> Sequence[Asked]:
        taught = recipe(self.length, 8)
        taught["models"]["teacher"] = {"from": "teacher.yaml"}
        taught["method"] = {"name": "kd", "temperature": 4.0}
        return (
            Asked("distilled", taught),
            Asked("teacher", recipe(self.length, 24), seeds=(0,)),
            Asked("alone", recipe(self.length, 8)),
            Asked("longer", recipe(self.length, 8), {"train.optimizer.lr": 0.02}),
        )

    def judge(self, done: Done, scale: Scale) -> Outcome:
        errors = Errors.of(done.of("distilled"))

        def draw(axes: Axes) -> None:
            axes.plot(errors.counts, color=GOOD)

        return Outcome(
            (Line("errors", "67", str(errors)),),
            (
                Claim("networks are trained", True, f"{len(done.of('alone'))} of them"),
                Claim("there are few errors", errors.mean < self.most, f"{errors}, asked for {self.most}"),
            ),
            (Picture("counts", "Errors by seed", "A line & nothing else.", draw),),
            ("this is small",),
        )


SMALL = Small()
