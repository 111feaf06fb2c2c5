from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset as Items

from limbeck.core.errors import DataError
from limbeck.data.augment import Augment
from limbeck.data.batches import ImageBatch
from limbeck.data.folder import Folder
from limbeck.data.loader import Loader
from limbeck.data.parts import Part
from limbeck.data.serving import moved_ahead, pins, served

from .making import write_classes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Made(Items[tuple[int, int]]):
    """Who made an item; leaves a file for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, index: int) -> tuple[int, int]:
        (self.folder / str(index)).touch()
        return index, os.getpid()


@pytest.fixture
def on_disk(tmp_path: Path) -> Part:
    write_classes(tmp_path, {"a": 10, "b": 10, "c": 10, "d": 10})
    return Folder(root=str(tmp_path), memory=False, test=0, validation=0).load().train


def loader(part: Part, **more: object) -> Loader:
    return Loader(part, batch=8, augment=Augment(crop=2, flip=True), seed=0, classes=4, **more)


def test_the_same_workers_make_all_items_in_order(tmp_path: Path) -> None:
    found = list(itertools.islice(served(Made(tmp_path), itertools.count(5), workers=2), 40))
    assert [index for index, _ in found] == list(range(5, 45))
    assert len({pid for _, pid in found} - {os.getpid()}) == 2


@pytest.mark.parametrize("prefetch", [1, 4])
def test_each_worker_is_so_many_items_ahead(tmp_path: Path, prefetch: int) -> None:
    stream = served(Made(tmp_path), itertools.count(), workers=2, prefetch=prefetch)
    next(stream)
    until = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 1 + 2 * prefetch and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)  # would it go on?
    assert len(list(tmp_path.iterdir())) == 1 + 2 * prefetch


def test_how_far_ahead_changes_no_pixel(on_disk: Part) -> None:
    plain = list(itertools.islice(loader(on_disk).batches(3), 4))
    for prefetch in (1, 5):
        made = list(itertools.islice(loader(on_disk, workers=2, prefetch=prefetch).batches(3), 4))
        for one, other in zip(itertools.chain(*plain), itertools.chain(*made), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_pinning_is_for_batches_that_workers_make_for_a_gpu(on_disk: Part) -> None:
    assert pins("auto", CUDA, workers=1)
    assert pins(True, CUDA, workers=1)
    assert not any(pins(asked, CUDA, workers=0) for asked in (True, False, "auto"))
    assert not pins(False, CUDA, workers=1)
    assert not pins("auto", CPU, workers=1)
    with pytest.raises(DataError, match="pin_memory: true, but batches go to the cpu; expected auto or false"):
        loader(on_disk, workers=1, pin_memory=True)
    loader(on_disk.in_memory(), workers=1, pin_memory=True)  # no worker makes these


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_copies_ahead_arrive_in_order_and_whole() -> None:
    """The current stream is kept busy, so that a copy that nobody waited for would be seen."""
    steps = [
        [ImageBatch(torch.full((64, 3, 64, 64), float(i)), torch.full((64,), i), torch.arange(64))] for i in range(9)
    ]
    pinned = ([ImageBatch(*(tensor.pin_memory() for tensor in batch)) for batch in step] for step in steps)
    heavy, sums = torch.randn(2048, 2048, device=CUDA), []
    for (batch,) in moved_ahead(pinned, CUDA):
        for _ in range(5):
            heavy = (heavy @ heavy).tanh()
        sums.append((batch.images.mean() + 0 * heavy.mean(), batch.labels[-1]))
        del batch
    assert [(mean.item(), label.item()) for mean, label in sums] == [(float(i), i) for i in range(9)]
    assert list(moved_ahead(iter([]), CUDA)) == []
