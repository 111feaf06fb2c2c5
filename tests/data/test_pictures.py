from __future__ import annotations

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.folder import Folder
from limbeck.data.pictures import Labelled, assembled

from .making import encoded


class Listed:
    """Encoded images in a list."""

    def __init__(self, count: int, *, first: int = 0) -> None:
        self.count, self.first = count, first

    def __len__(self) -> int:
        return self.count

    def read(self, rows):
        for row in rows:
            yield encoded(self.first + row), f"row {row}"


def split(count: int, *, label: int | None = None) -> Labelled:
    labels = torch.arange(count) % 2 if label is None else torch.full((count,), label)
    return Labelled(Listed(count), labels)


@pytest.mark.parametrize(
    ("available", "chosen", "roles"),
    [
        ({"train", "val", "test"}, {}, {"train": "train", "validation": "val", "test": "test"}),
        ({"train", "validation"}, {}, {"train": "train", "validation": "validation"}),
        ({"train", "validation"}, {"test": "validation"}, {"train": "train", "test": "validation"}),
        ({"train", "validation"}, {"validation": None}, {"train": "train"}),
        ({"all"}, {}, {"train": "all"}),
        ({"a", "b"}, {"train": "a", "test": "b"}, {"train": "a", "test": "b"}),
    ],
)
def test_roles(available: set[str], chosen: dict, roles: dict[str, str]) -> None:
    assert Folder(root="/", splits=chosen).roles(available) == roles


def test_wrong_roles() -> None:
    with pytest.raises(DataError, match=r"data\.splits\.test.*no split 'vall'; close: val"):
        Folder(root="/", splits={"test": "vall"}).roles(["train", "val"])
    with pytest.raises(DataError, match=r"none of the splits a, b is called train"):
        Folder(root="/").roles(["a", "b"])


def test_ids_are_unique_in_training_and_validation() -> None:
    found = assembled({"train": split(10), "validation": split(4), "test": split(6)}, ("a", "b"), title="t", size=None)
    assert found.train.ids.tolist() == list(range(10))
    assert found.validation.ids.tolist() == [10, 11, 12, 13]
    assert found.test.ids.tolist() == list(range(6))


def test_a_test_part_is_cut_from_a_single_split() -> None:
    found = assembled({"train": split(20)}, ("a", "b"), title="t", size=None, held_out=0.2)
    assert found.test.labels.bincount().tolist() == [2, 2]
    assert sorted(found.train.ids.tolist() + found.test.ids.tolist()) == list(range(20))
    assert "4 of its 20 images" in found.note
    kept = assembled({"train": split(20), "validation": split(4)}, ("a", "b"), title="t", size=None, held_out=0.2)
    assert kept.test is None
    assert len(kept.train) == 20


def test_an_unpublished_test_part_is_left_out_and_said() -> None:
    found = assembled({"train": split(10), "test": split(4, label=-100)}, ("a", "b"), title="t", size=None)
    assert found.test is None
    assert "not published" in found.note


def test_a_partly_labelled_test_part_is_refused() -> None:
    test = Labelled(Listed(3), torch.tensor([0, -100, 1]))
    with pytest.raises(DataError, match="1 of 3 test images have no label"):
        assembled({"train": split(10), "test": test}, ("a", "b"), title="t", size=None)


def test_no_images() -> None:
    with pytest.raises(DataError, match="there are no training images"):
        assembled({"train": split(0)}, (), title="t", size=None)
