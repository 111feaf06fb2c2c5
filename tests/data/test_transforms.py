from __future__ import annotations

import pytest
import torch
from torchvision.transforms import AutoAugmentPolicy, v2

from limbeck.core.errors import DataError
from limbeck.data.augment import Augment, augmented
from limbeck.data.loader import Loader
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
    with pytest.raises(DataError, match=r"data\.augment\.transforms: .*close: ColorJitter"):
        built([{"name": "ColourJitter"}])


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(DataError, match=r"data\.augment\.transforms: ColorJitter does not accept"):
        built([{"name": "ColorJitter", "brigthness": 1}])


@pytest.mark.parametrize("entry", [{"name": "Resize", "size": [4, 4]}, {"name": "ToDtype", "dtype": torch.float32}])
def test_size_and_type_must_stay(entry: dict[str, object]) -> None:
    part = little_part(2)
    with pytest.raises(DataError, match="must keep uint8 images of shape"):
        augmented(part.pixels, part.ids, augment=Augment(), seed=0, epoch=0, transforms=built([entry]))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "Normalize", "mean": [0.5], "std": [0.5]}, "Normalize fails on a uint8 image .* leave normalisation"),
        ({"name": "MixUp", "num_classes": 3}, r"MixUp fails .*`augment.mixup`"),
        ({"name": "RandomCrop", "size": 40}, "RandomCrop fails on a uint8 image of shape"),
    ],
)
def test_a_transform_that_fails_is_named(entry: dict[str, object], words: str) -> None:
    part = little_part(2)
    with pytest.raises(DataError, match=words):
        augmented(part.pixels, part.ids, augment=Augment(), seed=0, epoch=0, transforms=built([entry]))


# The augmentations of the CIFAR recipes, on images of 32 pixels.

OPERATORS = (
    {"name": "AutoAugment", "policy": "cifar10"},
    {"name": "AutoAugment", "policy": "imagenet"},
    {"name": "AutoAugment", "policy": "svhn", "fill": 128},
    {"name": "RandAugment", "num_ops": 2, "magnitude": 9, "fill": [125, 123, 114]},
    {"name": "RandomRotation", "degrees": 15},
    {"name": "RandomRotation", "degrees": [-5, 5], "interpolation": "bilinear", "fill": 128},
)


@pytest.mark.parametrize("views", [None, 2])
@pytest.mark.parametrize("entry", OPERATORS, ids=str)
def test_operators_are_functions_of_seed_epoch_and_id(entry: dict[str, object], views: int | None) -> None:
    part = little_part(32, side=32)

    def loader(seed: int) -> Loader:
        return Loader(part, batch=8, augment=Augment(transforms=(entry,)), seed=seed, classes=4, views=views)

    first = loader(0).replay(part.ids, 1)
    assert first.shape == (32, 3, 32, 32)
    assert (first * 255 != part.pixels).flatten(1).any(1).float().mean() > 0.5
    for batch in (batch for step in range(4, 8) for batch in loader(0).step(step)):  # epoch 1
        assert torch.equal(batch.images, first[batch.ids - part.ids[0]])
    # views are the same for every seed, and come back
    assert torch.equal(loader(1).replay(part.ids, 1), first) == (views is not None)
    assert torch.equal(loader(0).replay(part.ids, 3), first) == (views is not None)
    assert not torch.equal(loader(0).replay(part.ids, 2), first)


@pytest.mark.parametrize("policy", ["cifar10", "imagenet", "svhn"])
def test_a_policy_by_name_is_torchvision_s(policy: str) -> None:
    part = little_part(20, side=32)
    (made,), theirs = built([{"name": "AutoAugment", "policy": policy}]), v2.AutoAugment(AutoAugmentPolicy(policy))
    for number, image in enumerate(part.pixels):
        torch.manual_seed(number)
        ours = made(image)
        torch.manual_seed(number)
        assert torch.equal(ours, theirs(image))


def test_an_unknown_policy_is_told_with_those_that_exist() -> None:
    with pytest.raises(DataError, match=r"policy 'cifar' is none of imagenet, cifar10, svhn"):
        built([{"name": "AutoAugment", "policy": "cifar"}])


def test_a_rotation_turns_about_the_middle_and_fills_the_corners() -> None:
    pixels = torch.full((64, 3, 32, 32), 200, dtype=torch.uint8)
    for entry, corner in ({"degrees": [10, 15]}, 0), ({"degrees": [10, 15], "fill": [1, 2, 3]}, 1):
        kinds = built([{"name": "RandomRotation", **entry}])
        got = augmented(pixels, torch.arange(64), augment=Augment(), seed=0, epoch=0, transforms=kinds)
        assert (got[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]] == corner).all()
        assert (got[:, :, 8:24, 8:24] == 200).all()
    part = little_part(5, side=32)
    quarter = built([{"name": "RandomRotation", "degrees": [90, 90]}])
    got = augmented(part.pixels, part.ids, augment=Augment(), seed=0, epoch=0, transforms=quarter)
    assert torch.equal(got, part.pixels.rot90(1, (2, 3)))
