from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from limbeck.data.images import Files, Shape
from limbeck.data.parts import InMemory, OnDisk, Part

from .making import picture, pixels_of


@pytest.fixture(params=["memory", "disk"])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Part:
    labels, ids = torch.tensor([0, 1, -100, 1]), torch.tensor([10, 11, 12, 13])
    if request.param == "memory":
        return InMemory(torch.stack([pixels_of(number) for number in range(4)]), labels, ids)
    for number in range(4):
        picture(number).save(tmp_path / f"{number}.png")
    files = Files([tmp_path / f"{number}.png" for number in range(4)])
    return OnDisk(files, torch.arange(4), labels, ids, Shape(3, 6, 6))


def test_both_kinds_are_parts(part: Part) -> None:
    assert isinstance(part, Part)
    assert len(part) == 4
    assert part.shape == Shape(3, 6, 6)


def test_take_keeps_images_labels_and_ids_together(part: Part) -> None:
    some = part.take(torch.tensor([3, 1]))
    assert some.ids.tolist() == [13, 11]
    assert some.labels.tolist() == [1, 1]
    assert torch.equal(some.pixels_at(torch.tensor([1, 0])), torch.stack([pixels_of(1), pixels_of(3)]))
    assert some.take(torch.tensor([1])).ids.tolist() == [11]


def test_labelled_leaves_out_the_unknown(part: Part) -> None:
    assert part.labelled().ids.tolist() == [10, 11, 13]


def test_other_labels_same_images(part: Part) -> None:
    other = part.with_labels(torch.tensor([1, 1, 1, 1]))
    assert other.labels.tolist() == [1, 1, 1, 1]
    assert torch.equal(other.pixels_at(torch.arange(4)), part.pixels_at(torch.arange(4)))
    assert part.labels.tolist() == [0, 1, -100, 1]


def test_workers_can_receive_it(part: Part) -> None:
    copy = pickle.loads(pickle.dumps(part))
    assert torch.equal(copy.pixels_at(torch.arange(4)), part.pixels_at(torch.arange(4)))


def test_disk_into_memory(part: Part) -> None:
    if isinstance(part, OnDisk):
        assert part.decoded_bytes == 4 * 3 * 6 * 6
        held = part.take(torch.tensor([2, 0])).in_memory()
        assert held.ids.tolist() == [12, 10]
        assert torch.equal(held.pixels, torch.stack([pixels_of(2), pixels_of(0)]))
    else:
        assert part.resized(3).shape == Shape(3, 3, 3)
