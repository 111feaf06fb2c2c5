"""What a step of image classification receives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

UNLABELLED = -100
"""The label of a sample whose class is not known; it is also what torch's cross-entropy ignores."""


class ImageBatch(NamedTuple):
    """Images with labels and the identity of each sample.

    Args:
        images: pixels in [0, 1]; normalisation belongs to the network.
        labels: class numbers, -100 where unlabelled; or mixed labels, one distribution per row, a row of zeros
            where unlabelled.
        ids: the samples' positions in the source's own order; they never change from epoch to epoch.
    """

    images: Float[Tensor, "b c h w"]
    labels: Int64[Tensor, " b"] | Float[Tensor, "b classes"]
    ids: Int64[Tensor, " b"]


def unit_pixels(pixels: UInt8[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Bytes as float32 in [0, 1]; training and evaluation share this function, so their pixels agree to the bit."""
    return pixels.to(torch.float32).mul_(1 / 255)
