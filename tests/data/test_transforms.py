from __future__ import annotations

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.augment import Augment, augmented
from limbeck.data.transforms import built

from .making import little_part

LIST = (
    {"name": "TrivialAugmentWide"},
    {"name": "ColorJitter", "brightness": 0.4},
    {"name": "RandomResizedCrop", "size": [8, 8], "antialias": True},
)


def seen(rows: torch.Tensor, *, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    part, augment = little_part(), Augment(flip=True, transforms=LIST)
    kinds = built(augment.transforms)
    return augmented(part.pixels[rows], part.ids[rows], augment=augment, seed=seed, epoch=epoch, transforms=kinds)


def test_a_pure_function_of_seed_epoch_and_id() -> None:
    rows = torch.arange(40)
    whole = seen(rows)
    order = torch.randperm(40)
    torch.rand(17)
    assert torch.equal(seen(order), whole[order])
    assert torch.equal(torch.cat([seen(rows[i : i + 3]) for i in range(0, 40, 3)]), whole)
    assert not torch.equal(seen(rows, epoch=1), whole)
    assert not torch.equal(seen(rows, seed=1), whole)


def test_samples_differ_from_each_other() -> None:
    kinds = built([{"name": "RandomHorizontalFlip"}])
    part = little_part()
    got = augmented(part.pixels, part.ids, augment=Augment(), seed=0, epoch=0, transforms=kinds)
    turned = [torch.equal(image, original.flip(-1)) for image, original in zip(got, part.pixels, strict=True)]
    assert 10 < sum(turned) < 30


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    seen(torch.arange(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_name_gets_close_ones() -> None:
    with pytest.raises(DataError, match="close: ColorJitter"):
        built([{"name": "ColourJitter"}])


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(DataError, match="ColorJitter does not accept"):
        built([{"name": "ColorJitter", "brigthness": 1}])


@pytest.mark.parametrize("entry", [{"name": "Resize", "size": [4, 4]}, {"name": "ToDtype", "dtype": torch.float32}])
def test_size_and_type_must_stay(entry: dict[str, object]) -> None:
    part = little_part(2)
    with pytest.raises(DataError, match="must keep uint8 images of shape"):
        augmented(part.pixels, part.ids, augment=Augment(), seed=0, epoch=0, transforms=built([entry]))
