"""DropBlock: whole squares of a feature map are dropped, because single features can be guessed from their neighbours.

G. Ghiasi, T.-Y. Lin, Q. V. Le, "DropBlock: A Regularization Method for Convolutional Networks", NeurIPS 2018, arXiv
1810.12890, Algorithm 1. On every map of every image, each place where a square of side B fits becomes the corner of a
dropped square with probability

    γ = share / B² · h·w / ((h - B + 1)(w - B + 1))                                                    (Eq. 1)

and what is kept is multiplied by (number of features) / (number kept), over the batch, so that the mean stays. Squares
overlap, so somewhat less than `share` is dropped.

Where it acts: in the last two of a network's resolutions, after each convolution with its BatchNorm and activation, and
on the shortcuts, with a quarter of the share in the earlier of the two. So do the paper's best setting, "groups 3 and
4", and its published code (tensorflow/tpu, models/official/resnet).

Differs from the paper: the share is the same from the first step to the last; there it grows from 0. The published
code has squares of 7 on maps of 14 and 7 pixels; here 5 is the default, for maps of 16 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

SIDE = 5
EARLIER = 0.25
"""Of the share, in the resolution before the last."""


@dataclass(frozen=True)
class DropBlock:
    """`drop_block` with its figures: not a module, so a network that has it keeps its modules' names.

    Args:
        share: in [0, 1): about how much is dropped; 0 = nothing.
        side: of a square, at least 1.
    """

    share: float = 0.0
    side: int = SIDE

    def __call__(self, features: Float[Tensor, "b c h w"], *, training: bool) -> Float[Tensor, "b c h w"]:
        """As `drop_block`."""
        return drop_block(features, share=self.share, side=self.side, training=training)


NOTHING = DropBlock()


def last_two(share: float, side: int) -> tuple[DropBlock, DropBlock]:
    """What acts in the resolution before a network's last, and what in its last.

    Args:
        share: dropped in the last one, in [0, 1).
        side: of a square, at least 1.
    """
    return DropBlock(EARLIER * share, side), DropBlock(share, side)


def drop_block(
    features: Float[Tensor, "b c h w"], *, share: float, side: int, training: bool
) -> Float[Tensor, "b c h w"]:
    """Drop squares of features and scale the others up.

    Args:
        features: of a batch.
        share: in [0, 1): about how much is dropped; with 0 the features come back as they are.
        side: of a square, at least 1; where the map is smaller, the map's shorter side takes its place.
        training: if not, the features come back as they are.
    """
    if not share or not training:
        return features
    batch, channels, height, width = features.shape
    side = min(side, height, width)
    rows, columns = height - side + 1, width - side + 1
    rate = min(1.0, share / side**2 * height * width / (rows * columns))  # Eq. 1
    corners = torch.rand(batch, channels, rows, columns, device=features.device) < rate
    # A square reaches right and down from its corner: every feature looks back over `side` places.
    marked = F.pad(corners, [side - 1] * 4)
    kept = ~_any_of(_any_of(marked, side, dim=-1), side, dim=-2)
    scale = kept.numel() / kept.sum().clamp(min=1)
    return features * (kept * scale).to(features.dtype)


def _any_of(marks: Tensor, side: int, *, dim: int) -> Tensor:
    """Whether any of the `side` places from each one on is marked; a maximum of floats takes several times as long."""
    reach = 1
    while reach < side:
        step = min(reach, side - reach)
        count = marks.shape[dim] - step
        marks = marks.narrow(dim, 0, count) | marks.narrow(dim, step, count)
        reach += step
    return marks
