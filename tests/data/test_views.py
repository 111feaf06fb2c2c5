"""Views: pixels that repeat every so many epochs and are the same for every seed, in an order that is not."""

from __future__ import annotations

import itertools

import pytest
import torch

from limbeck.data.augment import Augment
from limbeck.data.batches import unit_pixels
from limbeck.data.loader import Loader

from .making import little_part

VARIED = Augment(crop=2, flip=True, mixup=1.0)


def loader(views: int | None, *, seed: int = 0, augment: Augment = VARIED, count: int = 40, **more: object) -> Loader:
    return Loader(little_part(count), batch=8, augment=augment, seed=seed, classes=4, views=views, **more)


def epoch(made: Loader, number: int) -> tuple[list[int], dict[int, torch.Tensor]]:
    """The order of the ids in an epoch, and what each sample looked like."""
    first = number * made.steps_per_epoch
    batches = [batch for step in itertools.islice(made.batches(first), made.steps_per_epoch) for batch in step]
    ids = torch.cat([batch.ids for batch in batches]).tolist()
    return ids, dict(zip(ids, torch.cat([batch.images for batch in batches]), strict=True))


def alike(one: dict[int, torch.Tensor], other: dict[int, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


def test_pixels_repeat_after_all_views_and_the_order_does_not() -> None:
    made = loader(3)
    order, pixels = zip(*[epoch(made, number) for number in range(6)], strict=True)
    assert all(alike(pixels[number], pixels[number + 3]) for number in range(3))
    assert not any(alike(pixels[one], pixels[other]) for one, other in itertools.combinations(range(3), 2))
    assert len({tuple(one) for one in order}) == 6


def test_another_seed_sees_the_same_pixels_in_another_order() -> None:
    (one_order, one), (other_order, other) = (epoch(loader(2, seed=seed), 1) for seed in (0, 7))
    assert alike(one, other)
    assert one_order != other_order


def test_without_views_every_seed_and_epoch_has_its_own_pixels() -> None:
    first = epoch(loader(None), 0)[1]
    assert not alike(first, epoch(loader(None, seed=7), 0)[1])
    assert not alike(first, epoch(loader(None), 1)[1])


def test_no_views_means_no_augmentation() -> None:
    part, pixels = little_part(), epoch(loader(0), 5)[1]
    plain = dict(zip(part.ids.tolist(), unit_pixels(part.pixels_at(torch.arange(len(part)))), strict=True))
    assert alike(pixels, plain)


@pytest.mark.parametrize("views", [0, 3])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_view_holds_what_training_sees_by_ascending_id_whichever_process_asks(views: int, workers: int) -> None:
    augment = Augment(flip=True, mixup=1.0, transforms=({"name": "TrivialAugmentWide"},))
    made = loader(views, augment=augment, workers=workers, rank=1, world=2)
    whole = loader(views, augment=augment, seed=3)
    for view in range(max(1, views)):
        batches = list(made.view(view))
        ids = torch.cat([batch.ids for batch in batches])
        assert torch.equal(ids, made.ids)
        assert alike(
            dict(zip(ids.tolist(), torch.cat([b.images for b in batches]), strict=True)), epoch(whole, view)[1]
        )
        assert whole.view_at(view * whole.steps_per_epoch) == view
        assert whole.view_at((view + max(1, views)) * whole.steps_per_epoch + 1) == view


def test_a_view_also_has_the_samples_of_an_incomplete_last_batch() -> None:
    made = loader(2, count=43)
    assert sum(len(batch.ids) for batch in made.view(0)) == 43
