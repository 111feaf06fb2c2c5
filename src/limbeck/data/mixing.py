"""mixup and CutMix with a partner, a share and a box per sample.

mixup: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv 1710.09412.

    x = λ x_i + (1 - λ) x_j,   y = λ y_i + (1 - λ) y_j,   λ ~ Beta(α, α)

CutMix: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
arXiv 1905.04899. x_i, but x_j inside a box of area (1 - λ) H W around a uniform centre, clipped to the image; then λ is
the share of x_i that is left.

Differs from the papers: they draw one λ (and box) per batch and pair the batch with its own permutation. Here every
sample draws its own λ, box and partner, and the partner comes from the whole training part, so a mixed image is a
function of (seed, epoch, id) and does not depend on the batch.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from limbeck.data.augment import Augment
from limbeck.data.randomness import MIXING, below, random_bits

_QUANTILES = 1 << 14


def partners(ids: Int64[Tensor, " b"], *, among: int, seed: int, epoch: int) -> Int64[Tensor, " b"]:
    """For each sample the position, 0 … among - 1, of the sample that it is mixed with; rarely itself."""
    return below(random_bits(ids, seed=seed, purpose=MIXING, epoch=epoch)[:, 0], among)


def mixed(
    images: Float[Tensor, "b c h w"],
    others: Float[Tensor, "b c h w"],
    ids: Int64[Tensor, " b"],
    *,
    augment: Augment,
    seed: int,
    epoch: int,
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
    """Mix each image with its partner; also the share λ in [0, 1] that the first one keeps.

    Args:
        images: augmented pixels of the samples.
        others: augmented pixels of their partners.
        ids: the samples' identities, not the partners'.
        augment: with `mixup` or `cutmix` above 0.
        seed: the run's seed.
        epoch: counted from 0.
    """
    bits = random_bits(ids, seed=seed, purpose=MIXING, epoch=epoch, draws=5)
    boxed = below(bits[:, 1], 2).bool() if augment.mixup else torch.ones_like(ids, dtype=torch.bool)
    if not augment.cutmix:
        boxed = torch.zeros_like(boxed)
    share = images.new_zeros(len(ids))
    if augment.mixup:
        share = torch.where(boxed, share, beta(bits[:, 2], alpha=augment.mixup))
    weight = share[:, None, None, None]
    if augment.cutmix:
        asked = beta(bits[:, 2], alpha=augment.cutmix)
        height, width = images.shape[2:]
        outside = ~_box(asked, below(bits[:, 3], height), below(bits[:, 4], width), height=height, width=width)
        share = torch.where(boxed, outside.float().mean((1, 2)), share)
        weight = torch.where(boxed[:, None, None, None], outside[:, None].float(), weight)
    return torch.lerp(others, images, weight), share


def mixed_labels(
    labels: Int64[Tensor, " b"], others: Int64[Tensor, " b"], share: Float[Tensor, " b"], *, classes: int
) -> Float[Tensor, "b classes"]:
    """λ of the first label and 1 - λ of the second; a row of zeros where either of the two is unlabelled."""
    first, second = (torch.nn.functional.one_hot(y.clamp(min=0), classes).to(share.dtype) for y in (labels, others))
    known = (labels >= 0) & (others >= 0)
    return torch.lerp(second, first, share[:, None]) * known[:, None]


def beta(bits: Int64[Tensor, " b"], *, alpha: float) -> Float32[Tensor, " b"]:
    """Numbers distributed as Beta(α, α), by the inverse of its distribution function at 2¹⁴ equally likely points."""
    return _quantiles(alpha, str(bits.device))[below(bits, _QUANTILES)]


@cache
def _quantiles(alpha: float, device: str) -> Float32[Tensor, " q"]:
    import numpy as np
    from scipy.special import betaincinv

    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return torch.from_numpy(betaincinv(alpha, alpha, middles)).to(torch.float32).to(device)


def _box(
    share: Float[Tensor, " b"], rows: Int64[Tensor, " b"], columns: Int64[Tensor, " b"], *, height: int, width: int
) -> Bool[Tensor, "b h w"]:
    side = (1 - share).sqrt()
    inside = []
    for centre, length in ((rows, height), (columns, width)):
        half = (side * length).long() // 2
        places = torch.arange(length, device=share.device)
        inside.append((places >= (centre - half)[:, None]) & (places < (centre + half)[:, None]))
    return inside[0][:, :, None] & inside[1][:, None, :]
