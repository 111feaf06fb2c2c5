"""The tiny network, the large one, their data and their training.

The paper compares MobileNetV2-Tiny with ResNet-50 on ImageNet: the first cannot fit its training images, the second
fits them too well. Here both are ResNets of 8 layers on 100 classes at 32 pixels: there are few images for the large
one and few weights in the tiny one. Both have the same images, the same steps and the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from limbeck.reproduce.experiment import Scale

PAPER = "Cai, Gan, Lin, Han, Network Augmentation for Tiny Deep Learning, ICLR 2022, arXiv:2110.08890"
NETWORKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"name": "resnet", "depth": 8, "widths": [8, 8, 16, 32]},
    "large": {"name": "resnet", "depth": 8, "widths": [16, 16, 64, 256]},
}
"""0.02 and 0.8 M parameters: most of the large one's are in its last stage, where the maps are small and a weight is
cheap."""
NAMES: Mapping[str, str] = {"tiny": "tiny network", "large": "large network"}
VALIDATION = 0.1
RATE = 0.1 / 64
"""Of learning, per image of a batch."""
AUGMENT: Final[Mapping[str, Any]] = {"flip": True, "crop": 4}
"""What the images of every training vary by, as in the paper: crops and flips."""


@dataclass(frozen=True)
class Size:
    """How large the experiments are.

    Args:
        images: for training, with those held out.
        epochs: of a training.
        batch: images per step; the rate is proportional to it.
    """

    images: int
    epochs: int
    batch: int


FULL = Size(images=10_000, epochs=24, batch=64)
QUICK = Size(images=1_500, epochs=10, batch=32)


def size_of(scale: Scale) -> Size:
    """The sizes of a scale."""
    return QUICK if scale.quick else FULL


def hundred(size: Size, augment: Mapping[str, Any]) -> dict[str, Any]:
    """100 classes of Tiny ImageNet at 32 pixels.

    Args:
        size: how many images.
        augment: how they vary; the recipe's key.
    """
    return {
        "name": "datasets",
        "path": "tinyimagenet100",
        "size": 32,
        "splits": {"test": "validation"},
        "subset": size.images,
        "validation": VALIDATION,
        "augment": dict(augment),
        "batch": size.batch,
    }


def recipe(
    label: str, data: Mapping[str, Any], student: Mapping[str, Any], size: Size, *, method: Any = "supervised"
) -> dict[str, Any]:
    """A training.

    Args:
        label: of its runs.
        data: of the training.
        student: network.
        size: how long.
        method: how it is taught.
    """
    return {
        "name": f"netaug2022-{label}",
        "data": dict(data),
        "models": {"student": dict(student)},
        "method": method,
        "train": {
            "length": f"{size.epochs} epochs",
            "optimizer": {
                "name": "sgd",
                "lr": RATE * size.batch,
                "momentum": 0.9,
                "nesterov": True,
                "weight_decay": 4e-5,
            },
            "decay": "matrices",
            "schedule": {"name": "cosine", "warmup": "1 epochs"},
            "precision": "bf16",
        },
        "report": False,
    }


def notes(scale: Scale) -> tuple[str, ...]:
    """What a reader of any of these experiments must know."""
    size = size_of(scale)
    setting = (
        f"{size.images:,} images of 100 classes of Tiny ImageNet at 32 pixels and two ResNets of 8 layers stand for "
        f"ImageNet, MobileNetV2-Tiny and ResNet-50; trainings are of {size.epochs} epochs, with crops and flips, and "
        "everything is tested on the network after the last step"
    )
    decay = "weights decay at 4e-5, biases and BatchNorm not, as in the paper; it smooths labels by 0.1, here none are"
    quick = "quick: so few images and epochs that neither network is trained to its end"
    return (setting, decay, quick) if scale.quick else (setting, decay)
