from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.data.augment import Augment, augmented
from limbeck.data.randomness import GEOMETRY, below, random_bits

from .making import little_part

EVERY = [
    Augment(),
    Augment(shift=2),
    Augment(crop=3),
    Augment(crop=3, reflect=True),
    Augment(flip=True),
    Augment(cutout=3),
    Augment(cutout=4),
    Augment(crop=2, flip=True, cutout=5),
    Augment(crop=4, reflect=True, flip=True, cutout=2),
]


def slowly(image: Tensor, number: int, *, augment: Augment, seed: int, epoch: int) -> Tensor:
    """One sample, pixel by pixel, from the description of the settings."""
    bits = random_bits(torch.tensor([number]), seed=seed, purpose=GEOMETRY, epoch=epoch, draws=5)
    reach = augment.shift or augment.crop
    down, right = (below(bits[0, draw], 2 * reach + 1).item() - reach for draw in (0, 1))
    mirror = augment.flip and below(bits[0, 2], 2).item() == 1
    _channels, height, width = image.shape
    out = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = row + down, (width - 1 - column if mirror else column) + right
            if augment.reflect:
                y, x = reflected(y, height), reflected(x, width)
            if 0 <= y < height and 0 <= x < width:
                out[:, row, column] = image[:, y, x]
    if augment.cutout:
        top = below(bits[0, 3], height).item() - augment.cutout // 2
        left = below(bits[0, 4], width).item() - augment.cutout // 2
        out[:, max(0, top) : max(0, top + augment.cutout), max(0, left) : max(0, left + augment.cutout)] = 0
    return out


def reflected(place: int, length: int) -> int:
    place = -place if place < 0 else place
    return 2 * (length - 1) - place if place >= length else place


@pytest.mark.parametrize("augment", EVERY, ids=str)
@pytest.mark.parametrize("size", [(8, 8), (6, 9)])
def test_equals_the_slow_way(augment: Augment, size: tuple[int, int]) -> None:
    part = little_part(30)
    pixels = part.pixels[:, :, :6].repeat(1, 1, 1, 2)[..., :9] if size == (6, 9) else part.pixels
    got = augmented(pixels, part.ids, augment=augment, seed=3, epoch=2)
    for row, number in enumerate(part.ids.tolist()):
        assert torch.equal(got[row], slowly(pixels[row], number, augment=augment, seed=3, epoch=2))


def test_nothing_asked_changes_nothing() -> None:
    part = little_part()
    assert torch.equal(augmented(part.pixels, part.ids, augment=Augment(), seed=0, epoch=0), part.pixels)


def test_all_translations_and_both_sides_occur() -> None:
    pixels = torch.zeros(2000, 1, 5, 5, dtype=torch.uint8)
    pixels[:, :, 2, 1] = 1
    got = augmented(pixels, torch.arange(2000), augment=Augment(crop=1, flip=True), seed=0, epoch=0)
    places = got.view(2000, 25).nonzero()[:, 1].bincount(minlength=25).view(5, 5)
    assert (places > 0).tolist() == [[False] * 5, *[[True] * 5] * 3, [False] * 5]


@pytest.mark.parametrize("change", [{"seed": 1, "epoch": 0}, {"seed": 0, "epoch": 1}])
def test_seed_and_epoch_matter(change: dict[str, int]) -> None:
    part, augment = little_part(), Augment(crop=4, flip=True, cutout=3)
    base = augmented(part.pixels, part.ids, augment=augment, seed=0, epoch=0)
    other = augmented(part.pixels, part.ids, augment=augment, **change)
    assert (base != other).flatten(1).any(1).float().mean() > 0.9


def test_a_sample_does_not_depend_on_its_batch() -> None:
    part, augment = little_part(), Augment(crop=4, flip=True, cutout=3)
    whole = augmented(part.pixels, part.ids, augment=augment, seed=0, epoch=4)
    order = torch.randperm(len(part))
    shuffled = augmented(part.pixels[order], part.ids[order], augment=augment, seed=0, epoch=4)
    alone = [
        augmented(part.pixels[i : i + 1], part.ids[i : i + 1], augment=augment, seed=0, epoch=4) for i in range(40)
    ]
    assert torch.equal(shuffled, whole[order])
    assert torch.equal(torch.cat(alone), whole)


@pytest.mark.parametrize("name", ["shift", "crop", "cutout"])
def test_more_pixels_than_a_side_has_are_refused(name: str) -> None:
    part = little_part()
    side = min(part.pixels.shape[2:])
    augmented(part.pixels, part.ids, augment=Augment(**{name: side}), seed=0, epoch=0)
    with pytest.raises(DataError, match=rf"{name} {side + 1} is more than the side of an image .*data.augment.{name}"):
        augmented(part.pixels, part.ids, augment=Augment(**{name: side + 1}), seed=0, epoch=0)


def test_reflection_needs_a_larger_image() -> None:
    part = little_part(side=4)
    with pytest.raises(DataError, match="smaller than each side"):
        augmented(part.pixels, part.ids, augment=Augment(crop=4, reflect=True), seed=0, epoch=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": 1, "crop": 1},
        {"reflect": True},
        {"shift": -1},
        {"mixup": -0.1},
        {"transforms": [{"brightness": 1.0}]},
        {"rotate": 3},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Augment(**wrong)
