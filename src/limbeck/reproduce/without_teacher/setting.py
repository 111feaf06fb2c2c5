"""The images and the training that these experiments share, so that their controls are the same runs.

The papers train on CIFAR-100 for 200 to 300 epochs. Here the images are of 100 classes of Tiny ImageNet at the same
size, fewer of them and for fewer epochs, so that two cores finish: few images seen often rather than many seen seldom,
because the papers' networks fit their training images. None are held out where nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from limbeck.evaluate.noise import Errors
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.recipe.measure import batches_of, tested_part
from limbeck.reproduce.ensembles import mean_of
from limbeck.reproduce.experiment import Scale
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

BIG, SMALL = {"name": "resnet14"}, {"name": "resnet8"}
INDEPENDENT = 100
"""Member k of an ensemble of independent networks has the seed s + k · 100."""
LOOKED_AT = 2000
"""Training images on which entropies are measured, without augmentation."""


@dataclass(frozen=True)
class Size:
    """How large the experiments are.

    Args:
        images: for training.
        epochs: of every training.
        held_out: images for the thresholds of early exits; nothing else is chosen.
    """

    images: int
    epochs: int
    held_out: int


FULL = Size(images=2_500, epochs=80, held_out=3_000)
QUICK = Size(images=2_000, epochs=9, held_out=1_000)


def size_of(scale: Scale) -> Size:
    """The size of a scale."""
    return QUICK if scale.quick else FULL


def hundred(images: int, *, held_out: int = 0) -> dict[str, Any]:
    """100 classes of Tiny ImageNet at the size of CIFAR-100's images.

    Args:
        images: for training.
        held_out: for choices, others than those.
    """
    return {
        "name": "datasets",
        "path": "tinyimagenet100",
        "size": 32,
        "splits": {"test": "validation"},
        "subset": images + held_out,
        "validation": held_out,
        "augment": {"flip": True, "crop": 4},
        "batch": 64,
    }


def recipe(
    label: str, scale: Scale, models: Mapping[str, Any], method: Any = "supervised", **more: Any
) -> dict[str, Any]:
    """A training.

    Args:
        label: of its runs.
        scale: how large.
        models: role -> network.
        method: how it is trained.
        more: other keys of the recipe, or others in the place of these.
    """
    size = size_of(scale)
    return {
        "name": f"without-teacher-{label}",
        "data": hundred(size.images),
        "models": dict(models),
        "method": method,
        "train": training(size.epochs),
        "report": False,
        **more,
    }


def training(epochs: int) -> dict[str, Any]:
    """The recipe's key."""
    return {
        "length": f"{epochs} epochs",
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
        "schedule": {"name": "cosine", "warmup": "1 epochs"},
        "precision": "bf16",
        "evaluate": f"{epochs} epochs",  # once, for the thresholds of early exits
    }


def alone(label: str, scale: Scale, student: Mapping[str, Any], *, members: int = 1, **more: Any) -> list[Asked]:
    """The student on labels only; with more members, others of further seeds as `LABEL-2`, `LABEL-3` and so on."""
    trained = recipe(label, scale, {"student": student}, **more)
    return [
        Asked(
            label if not number else f"{label}-{number + 1}",
            trained,
            seeds=tuple(seed + number * INDEPENDENT for seed in scale.seeds),
        )
        for number in range(members)
    ]


def every(done: Done, label: str, members: int) -> Errors:
    """Each network of `alone` as one seed."""
    return Errors.of([one for several in _members(done, label, members) for one in several])


def independent(done: Done, label: str, members: int) -> Errors:
    """Ensembles of independent networks, one per seed."""
    each = _members(done, label, members)
    return together([[one.predictions() for one in several] for several in zip(*each, strict=True)])


def _members(done: Done, label: str, members: int) -> list[tuple[Finished, ...]]:
    return [tuple(done.of(label if not number else f"{label}-{number + 1}")) for number in range(members)]


def together(ensembles: Sequence[Sequence[Predictions]]) -> Errors:
    """Errors of ensembles, one per seed, from their members' answers."""
    return Errors.in_predictions([mean_of(members) for members in ensembles])


def answers(network: torch.nn.Module, one: Finished) -> Predictions:
    """What a network gives on the test images of a run; for parts of what the run delivered."""
    part = tested_part(one.data)
    if part is None:
        raise ValueError("expected data with a test split")
    return predict(network.eval(), batches_of(part, one.run.recipe, torch.device("cpu")), one.run.recipe.task.run)


def entropy(network: torch.nn.Module, one: Finished) -> float:
    """The mean entropy of a network's answers on training images of a run, in nats."""
    from limbeck.losses.divergence import entropy as of_rows

    part = one.data.train
    some = part.take(torch.arange(min(LOOKED_AT, len(part))))
    found = predict(network.eval(), batches_of(some, one.run.recipe, torch.device("cpu")), one.run.recipe.task.run)
    return float(of_rows(found.logits).mean())


def notes(scale: Scale) -> tuple[str, ...]:
    """What a reader of any of these experiments must know."""
    size = size_of(scale)
    setting = (
        f"{size.images:,} images of 100 classes of Tiny ImageNet at 32 pixels, the same for every seed, stand for "
        f"CIFAR-100, small ResNets for the papers' networks, and trainings of {size.epochs} epochs for 200 to 300; "
        "crops are padded with black, weights decay at 5e-4 in all of them, and everything is tested on the network "
        "after the last step"
    )
    quick = "quick: so few images and epochs that no network is trained to its end"
    return (setting, quick) if scale.quick else (setting,)
