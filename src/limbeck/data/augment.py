"""Augmentation, drawn per sample and applied to the whole batch at once.

Every number is a pure function of (seed, epoch, sample id), see `randomness`. Order: translation and flip in one
gather of bytes, then torchvision's transforms if any, then cutout; mixing (see `mixing`) comes last, on floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Int64, UInt8
from pydantic import Field
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.core.settings import settings
from limbeck.data.randomness import GEOMETRY, below, random_bits
from limbeck.data.transforms import transformed

Count = Annotated[int, Field(ge=0)]
Alpha = Annotated[float, Field(ge=0.0)]


@settings
class Augment:
    """How training images vary. The default changes nothing.

    Args:
        shift: translate by up to so many pixels in each direction; black comes in.
        crop: pad by so many pixels and crop at random back to the size; the same translations as `shift` (set only
            one), named as in the CIFAR recipes.
        reflect: let `crop` pad with the mirrored image instead of black.
        flip: mirror left and right with probability 1/2.
        cutout: blacken a square of so many pixels a side; its centre is uniform over the image, so it may stick out.
            The paper (DeVries and Taylor, arXiv:1708.04552) has it in the mean colour, zero after normalisation.
        mixup: α of the Beta(α, α) from which mixup draws its share; 0 = none.
        cutmix: the same for CutMix. With both, each sample draws one of the two with equal probability.
        transforms: torchvision.transforms.v2 classes, applied in order, sample by sample: `{name: TrivialAugmentWide}`
            or `{name: ColorJitter, brightness: 0.4}`. They receive uint8 [c h w] and keep the image's size.
    """

    shift: Count = 0
    crop: Count = 0
    reflect: bool = False
    flip: bool = False
    cutout: Count = 0
    mixup: Alpha = 0.0
    cutmix: Alpha = 0.0
    transforms: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.shift and self.crop:
            raise ValueError(f"shift {self.shift} and crop {self.crop} are the same translation: set one of the two")
        if self.reflect and not self.crop:
            raise ValueError("reflect says how crop pads: set crop as well")
        for entry in self.transforms:
            if not isinstance(entry.get("name"), str):
                raise ValueError(f"expected {{name: <torchvision v2 class>, ...}}, got {entry}")

    @property
    def mixes(self) -> bool:
        """Whether labels become distributions."""
        return bool(self.mixup or self.cutmix)


def augmented(
    pixels: UInt8[Tensor, "b c h w"],
    ids: Int64[Tensor, " b"],
    *,
    augment: Augment,
    seed: int,
    epoch: int,
    transforms: Sequence[Callable[[Tensor], Tensor]] = (),
) -> UInt8[Tensor, "b c h w"]:
    """The batch as training sees it in this epoch, before mixing.

    Args:
        pixels: the images as stored.
        ids: the samples' identities; with seed and epoch they decide everything.
        augment: what to do.
        seed: the run's seed.
        epoch: counted from 0.
        transforms: `augment.transforms`, built by `transforms.built`.

    Raises:
        DataError: pixels to move or to blacken beyond the size of the image, or transforms that change its shape.
    """
    _check_size(augment, height=pixels.shape[2], width=pixels.shape[3])
    reach = augment.shift or augment.crop
    bits = random_bits(ids, seed=seed, purpose=GEOMETRY, epoch=epoch, draws=5)
    if reach or augment.flip:
        down, right = below(bits[:, 0], 2 * reach + 1), below(bits[:, 1], 2 * reach + 1)
        mirror = below(bits[:, 2], 2).bool() & augment.flip
        padded = _padded(pixels, reach, reflect=augment.reflect)
        pixels = _windows(padded, down, right, mirror, height=pixels.shape[2], width=pixels.shape[3])
    if transforms:
        pixels = transformed(pixels, ids, transforms=transforms, seed=seed, epoch=epoch)
    if augment.cutout:
        rows, columns = below(bits[:, 3], pixels.shape[2]), below(bits[:, 4], pixels.shape[3])
        pixels = pixels.masked_fill(_hole(pixels, rows, columns, side=augment.cutout), 0)
    return pixels


def _check_size(augment: Augment, *, height: int, width: int) -> None:
    for name in ("shift", "crop", "cutout"):
        if getattr(augment, name) > min(height, width):
            raise DataError(
                f"{name} {getattr(augment, name)} is more than the side of an image of {height}x{width}; lower "
                f"data.augment.{name}"
            )


def _padded(pixels: UInt8[Tensor, "b c h w"], by: int, *, reflect: bool) -> UInt8[Tensor, "b c hp wp"]:
    batch, channels, height, width = pixels.shape
    if not by:
        return pixels
    if reflect:
        if by >= min(height, width):
            raise DataError(f"crop {by} cannot reflect an image of {height}x{width}: it must be smaller than each side")
        rows, columns = (_mirrored(length, by, pixels.device) for length in (height, width))
        return pixels.index_select(2, rows).index_select(3, columns)
    # F.pad is three times slower on bytes than a copy into zeros
    padded = pixels.new_zeros(batch, channels, height + 2 * by, width + 2 * by)
    padded[:, :, by : by + height, by : by + width] = pixels
    return padded


def _mirrored(length: int, by: int, device: torch.device) -> Int64[Tensor, " padded"]:
    inside = torch.arange(-by, length + by, device=device).abs()
    return (length - 1) - ((length - 1) - inside).abs()


def _windows(
    padded: UInt8[Tensor, "b c hp wp"],
    down: Int64[Tensor, " b"],
    right: Int64[Tensor, " b"],
    mirror: Bool[Tensor, " b"],
    *,
    height: int,
    width: int,
) -> UInt8[Tensor, "b c h w"]:
    """Cut one window per sample out of its padded planes and mirror some, as a single gather over flat planes."""
    batch, channels, _, stride = padded.shape
    rows = torch.arange(height, device=padded.device) + down[:, None]
    columns = torch.arange(width, device=padded.device).expand(batch, width)
    columns = torch.where(mirror[:, None], width - 1 - columns, columns) + right[:, None]
    flat = (rows[:, :, None] * stride + columns[:, None, :]).view(batch, 1, height * width)
    planes = padded.reshape(batch, channels, -1)
    return planes.gather(2, flat.expand(batch, channels, -1)).view(batch, channels, height, width)


def _hole(
    pixels: UInt8[Tensor, "b c h w"], rows: Int64[Tensor, " b"], columns: Int64[Tensor, " b"], *, side: int
) -> Bool[Tensor, "b 1 h w"]:
    inside = []
    for centre, length in ((rows, pixels.shape[2]), (columns, pixels.shape[3])):
        start = centre[:, None] - side // 2
        places = torch.arange(length, device=pixels.device)
        inside.append((places >= start) & (places < start + side))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
