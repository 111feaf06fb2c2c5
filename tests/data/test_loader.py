from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.augment import Augment
from limbeck.data.batches import ImageBatch, unit_pixels
from limbeck.data.folder import Folder
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.data.parts import Part

from .making import little_part, write_classes

PLAIN = Augment(crop=2, flip=True, cutout=3)
EVERY = {
    "nothing": Augment(),
    "geometry": PLAIN,
    "transforms": Augment(flip=True, transforms=({"name": "TrivialAugmentWide"},)),
    "mixed": Augment(crop=2, mixup=1.0, cutmix=1.0),
}


def loader(part: Part, *, batch: int = 8, augment: Augment = PLAIN, seed: int = 0, **more: object) -> Loader:
    return Loader(part, batch=batch, augment=augment, seed=seed, classes=4, **more)


def steps(made: Loader, start: int, stop: int) -> list[list[ImageBatch]]:
    return list(itertools.islice(made.batches(start), stop - start))


def by_id(batches: list[list[ImageBatch]]) -> dict[int, torch.Tensor]:
    rows = [row for step in batches for batch in step for row in zip(batch.ids.tolist(), batch.images, strict=True)]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def equal(first: list[list[ImageBatch]], second: list[list[ImageBatch]]) -> bool:
    pairs = zip(itertools.chain(*first), itertools.chain(*second), strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_an_epoch_shows_every_sample_once_with_its_label() -> None:
    part = little_part()
    batches = steps(loader(part), 0, 5)
    ids = torch.cat([batch.ids for (batch,) in batches])
    labels = torch.cat([batch.labels for (batch,) in batches])
    assert ids.sort().values.tolist() == part.ids.tolist()
    assert torch.equal(labels, part.labels[ids - 100])


def test_an_incomplete_batch_is_left_out() -> None:
    made = loader(little_part(43))
    assert made.steps_per_epoch == 5
    first, second = steps(made, 0, 5), steps(made, 5, 10)
    assert len(by_id(first)) == len(by_id(second)) == 40
    assert set(by_id(first)) != set(by_id(second))


def test_a_part_smaller_than_a_batch_is_one() -> None:
    made = loader(little_part(5))
    assert made.steps_per_epoch == 1
    assert len(by_id(steps(made, 3, 4))) == 5
    several = loader(little_part(5), accumulate=3)
    (batches,) = steps(several, 0, 1)
    assert [len(batch.ids) for batch in batches] == [2, 2, 1]


def test_epochs_differ_in_order_and_looks() -> None:
    made = loader(little_part())
    first, second = steps(made, 0, 5), steps(made, 5, 10)
    assert [b.ids.tolist() for (b,) in first] != [b.ids.tolist() for (b,) in second]
    looks, others = by_id(first), by_id(second)
    assert sum(torch.equal(looks[number], others[number]) for number in looks) < 10


@pytest.mark.parametrize("kind", EVERY)
def test_exact_from_any_step(kind: str) -> None:
    made = loader(little_part(), augment=EVERY[kind])
    whole = steps(made, 0, 12)
    for start in (1, 5, 7):
        assert equal(steps(loader(little_part(), augment=EVERY[kind]), start, 12), whole[start:])


@pytest.mark.parametrize("kind", EVERY)
def test_replay_is_what_training_saw(kind: str) -> None:
    made = loader(little_part(), augment=EVERY[kind])
    for step in (2, 6):
        (batch,) = made.step(step)
        assert torch.equal(made.replay(batch.ids, step // 5), batch.images)
        order = torch.randperm(8)
        assert torch.equal(made.replay(batch.ids[order][:3], step // 5), batch.images[order][:3])


def test_replay_finds_samples_in_a_part_of_any_order() -> None:
    part = little_part()
    made = loader(part.take(torch.randperm(40)))
    (batch,) = made.step(1)
    assert torch.equal(made.replay(batch.ids, 0), batch.images)
    assert torch.equal(loader(part).replay(batch.ids, 0), batch.images)


def test_replay_refuses_strangers() -> None:
    with pytest.raises(DataError, match=r"1 of 2 ids are not in the training part, first \[7\]"):
        loader(little_part()).replay(torch.tensor([101, 7]), 0)


@pytest.mark.parametrize("kind", EVERY)
def test_looks_do_not_depend_on_the_batch_size(kind: str) -> None:
    small = by_id(steps(loader(little_part(), batch=4, augment=EVERY[kind]), 0, 10))
    large = by_id(steps(loader(little_part(), batch=20, augment=EVERY[kind]), 0, 2))
    assert small.keys() == large.keys()
    assert all(torch.equal(small[number], large[number]) for number in small)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("kind", EVERY)
def test_processes_together_see_what_one_sees(kind: str, world: int) -> None:
    part, augment = little_part(), EVERY[kind]
    single = steps(loader(part, augment=augment, accumulate=2), 0, 4)
    ranks = [steps(loader(part, augment=augment, accumulate=2, rank=r, world=world), 0, 4) for r in range(world)]
    for step, whole in enumerate(single):
        assert len(whole) == 2
        for micro, batch in enumerate(whole):
            for rank in range(world):
                got = ranks[rank][step][micro]
                assert all(torch.equal(a, b[rank::world]) for a, b in zip(got, batch, strict=True))


def test_micro_batches_join_to_the_large_batch() -> None:
    part = little_part()
    for whole, pieces in zip(
        steps(loader(part, batch=8), 0, 5), steps(loader(part, batch=2, accumulate=4), 0, 5), strict=True
    ):
        assert len(pieces) == 4
        assert all(torch.equal(whole[0][field], torch.cat([piece[field] for piece in pieces])) for field in range(3))


def test_too_many_processes() -> None:
    with pytest.raises(DataError, match="too few for 4 processes"):
        loader(little_part(), batch=2, world=4)


def test_without_augmentation_images_are_the_part_s() -> None:
    part = little_part()
    (batch,) = loader(part, augment=Augment()).step(0)
    assert torch.equal(batch.images, unit_pixels(part.pixels[batch.ids - 100]))
    assert batch.images.dtype == torch.float32


def test_mixed_labels_follow_the_pixels() -> None:
    part = little_part()
    flat = part.pixels.clone()
    # every image of a class has the class's own brightness: 60, 120, 180, 240
    flat[:] = ((part.labels + 1) * 60).to(torch.uint8)[:, None, None, None]
    made = loader(type(part)(flat, part.labels, part.ids), augment=Augment(mixup=1.0, cutmix=1.0), batch=40)
    (batch,) = made.step(0)
    expected = batch.labels @ torch.tensor([60.0, 120.0, 180.0, 240.0])
    assert torch.allclose(batch.images.mean((1, 2, 3)) * 255, expected, atol=1e-3)
    assert torch.allclose(batch.labels.sum(1), torch.ones(40))


def test_unlabelled_samples_keep_their_mark() -> None:
    part = little_part()
    part = part.with_labels(torch.where(part.ids < 120, part.labels, -100))
    (batch,) = loader(part, batch=40).step(0)
    assert torch.equal(batch.labels < 0, batch.ids >= 120)
    (batch,) = loader(part, batch=40, augment=Augment(mixup=1.0)).step(0)
    assert (batch.labels[batch.ids >= 120] == 0).all()
    assert set(batch.labels.sum(1).round(decimals=4).tolist()) == {0.0, 1.0}


def test_the_global_generator_is_not_used() -> None:
    before = torch.get_rng_state()
    for augment in EVERY.values():
        steps(loader(little_part(), augment=augment), 0, 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def on_disk(tmp_path: Path) -> Part:
    write_classes(tmp_path, {"a": 10, "b": 10, "c": 10, "d": 10})
    return Folder(root=str(tmp_path), memory=False, test=0, validation=0).load().train


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("workers", [0, 2])
def test_disk_equals_memory(on_disk: Part, kind: str, workers: int) -> None:
    before = torch.get_rng_state()
    read = steps(loader(on_disk, augment=EVERY[kind], workers=workers), 3, 7)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(read, steps(loader(on_disk.in_memory(), augment=EVERY[kind]), 3, 7))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_once(on_disk: Part, workers: int) -> None:
    on_disk.reader.paths[17].write_bytes(b"broken")
    with pytest.raises(DataError, match=r"0017\.png is damaged") as caught:
        steps(loader(on_disk, workers=workers), 0, 5)
    assert "Traceback" not in str(caught.value)
    with pytest.raises(DataError, match=r"0017\.png is damaged"):
        list(evaluation_batches(on_disk, workers=workers))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_sees_every_sample_once_in_order(on_disk: Part, world: int) -> None:
    held = on_disk.in_memory()
    for part, workers in ((held, 0), (on_disk, 0), (on_disk, 2)):
        ranks = [list(evaluation_batches(part, batch=7, rank=r, world=world, workers=workers)) for r in range(world)]
        for rank, batches in enumerate(ranks):
            assert torch.equal(torch.cat([batch.ids for batch in batches]), part.ids[rank::world])
            assert torch.equal(torch.cat([batch.images for batch in batches]), unit_pixels(held.pixels)[rank::world])
            assert torch.equal(torch.cat([batch.labels for batch in batches]), part.labels[rank::world])


def test_evaluation_of_fewer_samples_than_processes() -> None:
    part = little_part(2)
    assert list(evaluation_batches(part, rank=2, world=3)) == []
    assert list(evaluation_batches(part.take(torch.arange(0)))) == []
