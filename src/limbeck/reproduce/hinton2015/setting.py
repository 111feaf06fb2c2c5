"""The large net and the small ones, as all experiments on MNIST use them.

The paper names the architectures, dropout, a limit on the weights, jitter of two pixels and the temperature, and leaves
optimiser, rates and lengths open. Here everything is trained with Adam and half a cosine, in bfloat16. Small nets have
no regularisation and see no jitter. A distilled net and the same net alone are trained equally long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.reproduce.experiment import Scale
from limbeck.sweep.planning import Asked

PAPER = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, arXiv:1503.02531"
TEMPERATURE = 20.0
UNITS = 800
IMAGES = 60_000
QUICK_IMAGES = 20_000
QUICK_NOTE = f"quick: {QUICK_IMAGES:,} of the {IMAGES:,} training images, and trainings of twenty to forty epochs"
SETTING_NOTE = (
    "the paper gives neither optimiser nor rates nor lengths; here: Adam with half a cosine, in bfloat16, dropout of "
    "0.2 on pixels and 0.5 on hidden units and weights of a unit within a norm of 3.5 for the large net"
)
_RATES = {30: 3e-3, 100: 2e-3}
"""Units per layer -> learning rate, where it is not 0.001: narrow nets need larger ones to be trained in time."""


def teacher(scale: Scale) -> Asked:
    """The large net: 784-1200-1200-10; once, whatever the seeds of the students."""
    train = {"length": "40 epochs" if scale.quick else "200 epochs", "precision": "bf16"}
    recipe = {"name": "hinton2015-teacher", "extends": "mnist/teacher", "data": images(scale), "train": train}
    return Asked("teacher", recipe, seeds=(0,))


def alone(
    label: str,
    scale: Scale,
    *,
    units: int = UNITS,
    length: str,
    data: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    seeds: tuple[int, ...] | None = None,
) -> Asked:
    """A small net under hard labels.

    Args:
        label: of its runs.
        scale: quick ones see fewer images.
        units: of both hidden layers.
        length: of the training.
        data: further keys of the recipe.
        train: further keys of the recipe.
        seeds: absent = those of the scale.
    """
    recipe = _recipe(label, scale, units=units, length=length, data=data, train=train)
    return Asked(label, {**recipe, "method": "supervised"}, seeds=seeds)


def distilled(
    label: str,
    scale: Scale,
    *,
    units: int = UNITS,
    length: str,
    method: Mapping[str, Any] | None = None,
    teacher: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> Asked:
    """A small net under soft targets alone, stored once for all seeds.

    Args:
        label: of its runs.
        scale: quick ones see fewer images.
        units: of both hidden layers.
        length: of the training.
        method: absent = soft targets at T = 20.
        teacher: absent = the large net.
        data: further keys of the recipe.
        train: further keys of the recipe.
    """
    cached = {"name": "cached", "views": 0, "dtype": "float32"}
    recipe = _recipe(
        label, scale, units=units, length=length, data=data, train={"teacher_outputs": cached, **(train or {})}
    )
    recipe["models"]["teacher"] = teacher or {"from": "teacher.yaml"}
    return Asked(label, {**recipe, "method": dict(method or soft(TEMPERATURE))})


def soft(temperature: float) -> dict[str, Any]:
    """Soft targets alone, at a temperature."""
    return {"name": "kd", "temperature": temperature, "hard_weight": 0.0}


def images(scale: Scale) -> dict[str, Any]:
    """The part of the training images that a scale uses."""
    return {"subset": QUICK_IMAGES} if scale.quick else {}


def notes(scale: Scale) -> tuple[str, ...]:
    """What a reader of any of these experiments must know."""
    return (SETTING_NOTE, QUICK_NOTE) if scale.quick else (SETTING_NOTE,)


def _recipe(
    label: str,
    scale: Scale,
    *,
    units: int,
    length: str,
    data: Mapping[str, Any] | None,
    train: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "name": f"hinton2015-{label}",
        "data": {"name": "mnist", "batch": 200, "validation": 0, **images(scale), **(data or {})},
        "models": {"student": {"name": "mlp", "hidden": [units, units]}},
        "train": {
            "length": length,
            "optimizer": {"name": "adamw", "lr": _RATES.get(units, 1e-3), "weight_decay": 0.0},
            "schedule": {"name": "cosine", "warmup": "1 epochs"},
            "precision": "bf16",
            **(train or {}),
        },
        "report": False,
    }
