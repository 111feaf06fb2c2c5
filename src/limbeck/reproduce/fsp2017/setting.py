"""The ResNets, their data and their training, as both experiments use them.

The paper trains a 26-layer ResNet for 64,000 steps, and students for 21,000 on flows and 21,000 on labels, with rates
that fall to a tenth twice. Here trainings are shorter in the same proportion: a student has a third of its teacher's
epochs for the flows and a third for the labels.

Flows compare channel by channel. A teacher therefore has a seed that no student has: from the same seed both would
begin with the same weights, and their channels would mean the same from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.reproduce.experiment import Scale

PAPER = "Yim, Joo, Bae, Kim, A Gift from Knowledge Distillation, CVPR 2017"
VALIDATION = 0.1
TEACHER_SEED = 1000


@dataclass(frozen=True)
class Size:
    """How large the experiments are.

    Args:
        cifar10: training images, with those held out.
        hundred: training images of the set of 100 classes, with those held out.
        third: epochs of a third of a full training.
    """

    cifar10: int
    hundred: int
    third: int

    @property
    def whole(self) -> str:
        """A full training."""
        return f"{3 * self.third} epochs"

    @property
    def short(self) -> str:
        """A third of it."""
        return f"{self.third} epochs"

    @property
    def twice(self) -> str:
        """A third for the flows, and a third for the labels."""
        return f"{2 * self.third} epochs"


FULL = Size(cifar10=20_000, hundred=20_000, third=10)
QUICK = Size(cifar10=4_000, hundred=4_000, third=3)


def size_of(scale: Scale) -> Size:
    """The sizes of a scale."""
    return QUICK if scale.quick else FULL


def cifar10(size: Size) -> dict[str, Any]:
    """CIFAR-10 with crops and flips."""
    augment = {"flip": True, "crop": 4}
    return {"name": "cifar10", "subset": size.cifar10, "validation": VALIDATION, "augment": augment, "batch": 128}


def hundred(size: Size) -> dict[str, Any]:
    """100 classes of Tiny ImageNet at the size of CIFAR-10's images, with crops and flips."""
    return {
        "name": "datasets",
        "path": "tinyimagenet100",
        "size": 32,
        "splits": {"test": "validation"},
        "subset": size.hundred,
        "validation": VALIDATION,
        "augment": {"flip": True, "crop": 4},
        "batch": 128,
    }


def recipe(
    label: str,
    data: Mapping[str, Any],
    student: Mapping[str, Any],
    length: str,
    *,
    method: Any = "supervised",
    teacher: Mapping[str, Any] | None = None,
    rate: float = 0.1,
) -> dict[str, Any]:
    """A training.

    Args:
        label: of its runs.
        data: of the training.
        student: network.
        length: of all stages together.
        method: how it is taught.
        teacher: network; absent = none.
        rate: of learning, before it falls.
    """
    return {
        "name": f"fsp2017-{label}",
        "data": dict(data),
        "models": {"student": dict(student), **({"teacher": dict(teacher)} if teacher else {})},
        "method": method,
        "train": {
            "length": length,
            "optimizer": {"name": "sgd", "lr": rate, "momentum": 0.9, "weight_decay": 1e-4},
            "schedule": {"name": "step", "at": [0.5, 0.75], "factor": 0.1, "warmup": "50 steps"},
            "precision": "bf16",
        },
        "report": False,
    }


def notes(scale: Scale, students: Size | None = None) -> tuple[str, ...]:
    """What a reader of either experiment must know.

    Args:
        scale: of the experiment.
        students: their images and epochs, where they are not those of their teachers.
    """
    size = size_of(scale)
    own = students or size
    images = (
        f"{size.cifar10:,} of the 50,000 images of CIFAR-10, and {size.hundred:,} of 100 classes of Tiny ImageNet"
        + (f", for teachers, and {own.cifar10:,} of either for students" if students else "")
        + ", a tenth of them held out for the curves"
    )
    setting = (
        f"trainings are shorter than the paper's, in the same proportion: {size.whole} for a teacher, {own.short} on "
        f"flows and {own.short} on labels for a student; everything is tested on the network after the last step"
    )
    quick = "quick: so few images that no network is trained to its end"
    return (images, setting, quick) if scale.quick else (images, setting)
