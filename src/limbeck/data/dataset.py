"""A loaded data set: its parts, its classes, and the figures that networks and reports need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from limbeck.data.parts import InMemory, OnDisk, Part
from limbeck.data.randomness import PROBE, shuffled

_CHUNK = 4096
_SAMPLED = 2048
_FLOOR = 1e-3

__all__ = ["Dataset", "InMemory", "OnDisk", "Part", "channel_statistics"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to learn from, to choose by, and to test on.

    Args:
        train: with the labels that may be used; -100 elsewhere.
        validation: held out of the training images or given by the source; None if there is none.
        test: None if the source has none with labels.
        classes: the names; a label is an index into them.
        mean: of the training pixels in [0, 1], per channel.
        std: the same; at least 0.001, so that dividing by it is safe. A mean and deviation of images on disk come from
            2048 training images, chosen by a fixed seed.
        description: name, counts and choices, for reports; plain values.
        at_most: class number -> how many of its training images an epoch shows, other ones in each; absent = all.
    """

    train: Part
    validation: Part | None
    test: Part | None
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    description: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    at_most: Mapping[int, int] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[float, ...]:
        """For each class how often an epoch shows its training images, as a multiple of how often they occur."""
        counts = torch.bincount(self.train.labels[self.train.labels >= 0], minlength=len(self.classes)).tolist()
        return tuple(self.at_most[c] / counts[c] if c in self.at_most else 1.0 for c in range(len(self.classes)))

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.train.shape.channels

    @property
    def height(self) -> int:
        """In pixels."""
        return self.train.shape.height

    @property
    def width(self) -> int:
        """In pixels."""
        return self.train.shape.width


def channel_statistics(part: Part) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of pixels in [0, 1]; the deviation is at least 0.001.

    Args:
        part: all its images count if it is in memory, 2048 of them otherwise.
    """
    if isinstance(part, InMemory):
        positions = torch.arange(len(part))
    else:
        positions = shuffled(part.ids, seed=0, purpose=PROBE)[:_SAMPLED]
    total = square = torch.zeros(part.shape.channels, dtype=torch.float64)
    for chunk in positions.split(_CHUNK):
        counts = _histogram(part.pixels_at(chunk))
        levels = torch.arange(256, dtype=torch.float64) / 255
        total, square = total + counts @ levels, square + counts @ levels.square()
    pixels = len(positions) * part.shape.height * part.shape.width
    mean = total / pixels
    deviation = (square / pixels - mean.square()).clamp(min=0).sqrt().clamp(min=_FLOOR)
    return tuple(mean.tolist()), tuple(deviation.tolist())


def _histogram(pixels: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, "c 256"]:
    def of(plane: UInt8[Tensor, "n h w"]) -> Int64[Tensor, " 256"]:
        return torch.bincount(plane.reshape(-1), minlength=256)

    return torch.stack([of(plane) for plane in pixels.unbind(1)]).double()
