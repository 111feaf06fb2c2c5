"""The generalist, its specialists and their students: sizes and recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.reproduce.experiment import Scale
from limbeck.sweep.planning import Asked

CLUSTERS, SIZE = 5, 20
"""Of a round; together they divide the 100 classes."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is.

    Args:
        images: of the training split, with those held out.
        side: of an image, in pixels.
        rounds: of clustering.
        length: of the generalist's and the students' training.
        specialist: of a specialist's training.
        views: of each image that a student's teacher is asked about.
    """

    images: int
    side: int
    rounds: int
    length: str
    specialist: str
    views: int


FULL = Size(images=32_000, side=24, rounds=3, length="30 epochs", specialist="1440 steps", views=8)
QUICK = Size(images=12_000, side=16, rounds=2, length="12 epochs", specialist="270 steps", views=2)


def asked(size: Size) -> tuple[Asked, ...]:
    """One generalist with its specialists; the students of all, and of the generalist alone, once per seed.

    Args:
        size: of the experiment.
    """
    names = [label(number, cluster) for number in range(size.rounds) for cluster in range(CLUSTERS)]
    everybody = {
        "generalist": {"from": "generalist.yaml"},
        "specialists": [{"from": f"{name}.yaml"} for name in names],
    }
    return (
        Asked("generalist", _recipe("generalist", size, {"name": "resnet8"}), seeds=(0,)),
        *(_specialist(number, cluster, size) for number in range(size.rounds) for cluster in range(CLUSTERS)),
        Asked("longer", _recipe("longer", size, {"from": "generalist.yaml"}, length=size.specialist), seeds=(0,)),
        # first what does not wait: one process can train it while another one stores what all specialists say
        _student("copy", {"from": "generalist.yaml"}, size),
        _student("one", everybody, size),
    )


def size_of(scale: Scale) -> Size:
    """The sizes of a scale."""
    return QUICK if scale.quick else FULL


def label(number: int, cluster: int) -> str:
    """Of the specialist for a cluster of a round of clustering."""
    return f"specialist-{number}-{cluster}"


def _specialist(number: int, cluster: int, size: Size) -> Asked:
    confused = {"cluster": cluster, "of": CLUSTERS, "size": SIZE, "seed": number}
    name, start = label(number, cluster), {"from": {"recipe": "generalist.yaml", "head": "refitted"}}
    recipe = _recipe(name, size, start, length=size.specialist, data={"special": {"classes": confused}})
    return Asked(name, recipe, seeds=(0,))


def _student(name: str, teacher: Mapping[str, Any], size: Size) -> Asked:
    recipe = _recipe(name, size, {"name": "resnet8"}, teacher=teacher)
    return Asked(name, {**recipe, "method": {"name": "kd", "temperature": 4.0, "hard_weight": 0.1}})


def _recipe(
    name: str,
    size: Size,
    student: Mapping[str, Any],
    *,
    length: str | None = None,
    data: Mapping[str, Any] | None = None,
    teacher: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    images = {
        "name": "datasets",
        "path": "tinyimagenet100",
        "size": size.side,
        "splits": {"test": "validation"},
        "subset": size.images,
        "validation": 0.1,
        "augment": {"flip": True, "crop": size.side // 8},
        "batch": 128,
    }
    outputs = {"teacher_outputs": {"name": "cached", "views": size.views}} if teacher else {}
    return {
        "name": f"hinton2015-{name}",
        "data": {**images, **(data or {})},
        "models": {"student": dict(student), **({"teacher": dict(teacher)} if teacher else {})},
        "method": "supervised",
        "train": {
            "length": length or size.length,
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
            "schedule": {"name": "cosine", "warmup": "50 steps"},
            "precision": "bf16",
            **outputs,
        },
        "report": False,
    }
