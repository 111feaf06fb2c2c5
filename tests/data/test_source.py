from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import ValidationError

from limbeck.core.errors import DataError
from limbeck.core.settings import settings
from limbeck.data import source
from limbeck.data.folder import Folder
from limbeck.data.parts import InMemory, OnDisk
from limbeck.data.source import Found, ImageData

from .making import little_part, write_classes

CLASSES = ("a", "b", "c", "d")


@settings
class Given(ImageData):
    """200 training and 40 test images of four classes."""

    title: ClassVar[str] = "given"
    own_validation: bool = False

    def files(self) -> Mapping[str, Path]:
        return {}

    def find(self) -> Found:
        validation = little_part(20, first_id=200) if self.own_validation else None
        return Found(little_part(200, first_id=0), validation, little_part(40, first_id=0), CLASSES, "a note")


def test_validation_is_held_out_stratified() -> None:
    data = Given(validation=0.2).load()
    assert data.validation is not None
    assert data.train.labels.bincount().tolist() == [40] * 4
    assert data.validation.labels.bincount().tolist() == [10] * 4
    assert sorted(data.train.ids.tolist() + data.validation.ids.tolist()) == list(range(200))
    assert len(data.test) == 40


def test_counts_and_none() -> None:
    assert len(Given(validation=8).load().validation) == 8
    assert Given(validation=0).load().validation is None


def test_the_source_s_own_validation_is_used_whole() -> None:
    data = Given(own_validation=True, validation=0.5).load()
    assert (len(data.train), len(data.validation)) == (200, 20)
    assert Given(own_validation=True, validation=0).load().validation is None


def test_labelled_keeps_every_image() -> None:
    data = Given(validation=0.2, labelled=16).load()
    assert len(data.train) == 160
    assert len(data.train.labelled()) == 16
    assert data.train.labelled().labels.bincount().tolist() == [4] * 4
    whole = Given(validation=0.2).load().train
    assert torch.equal(data.train.labelled().labels, whole.labels[data.train.labels >= 0])
    assert len(Given(labelled=0.5, validation=0).load().train.labelled()) == 100
    assert len(Given(labelled=0).load().train.labelled()) == 0


def test_subset_comes_before_validation() -> None:
    data = Given(subset=0.5, validation=0.2).load()
    assert (len(data.train), len(data.validation), len(data.test)) == (80, 20, 40)


def test_dropped_classes_leave_the_training_part_only() -> None:
    data = Given(drop_classes=["b"], validation=0.2).load()
    assert data.train.labels.unique().tolist() == [0, 2, 3]
    assert data.validation.labels.unique().tolist() == [0, 1, 2, 3]
    assert data.classes == CLASSES


def test_cuts_do_not_depend_on_each_other_s_presence() -> None:
    plain, dropped = Given().load(), Given(drop_classes=["b"]).load()
    assert torch.equal(plain.validation.ids, dropped.validation.ids)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"drop_classes": ["e"]}, "no class 'e'"),
        ({"drop_classes": CLASSES}, "leave no training images"),
        ({"labelled": 3}, "labelled 3 is too few for 4 classes"),
        ({"labelled": 500}, "500 of 180 images"),
        ({"subset": 2, "validation": 0}, "no labelled training image of"),
        ({"subset": 0}, "leaves 0 to train on"),
        ({"validation": 200}, "leaves 0 to train on"),
        ({"memory": False}, "always in memory"),
    ],
)
def test_impossible_cuts(choice: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Given(**choice).load()


@pytest.mark.parametrize("wrong", [{"validation": 1.5}, {"batch": 0}, {"size": 0}, {"labels": 3}, {"memory": "often"}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Given(**wrong)


def test_size_resizes_every_part() -> None:
    data = Given(size=4).load()
    assert {part.shape[1:] for part in (data.train, data.validation, data.test)} == {(4, 4)}


def test_statistics_are_those_of_the_training_part() -> None:
    data = Given(validation=0.5).load()
    assert data.mean == pytest.approx((data.train.pixels.double() / 255).mean((0, 2, 3)).tolist())


def test_the_description_counts() -> None:
    description = Given(labelled=16, drop_classes=["a"]).load().description
    assert description["train"] == 135
    assert description["labelled"] == 16
    assert (description["validation"], description["test"]) == (20, 40)
    assert (description["name"], description["note"], description["dropped"]) == ("given", "a note", "a")


def test_memory_by_size_or_by_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(tmp_path, {"a": 10, "b": 10})
    root = str(tmp_path)
    held = Folder(root=root).load()
    assert isinstance(held.train, InMemory)
    read = Folder(root=root, memory=False).load()
    assert isinstance(read.train, OnDisk)
    assert torch.equal(read.train.pixels_at(torch.arange(len(read.train))), held.train.pixels)
    assert read.mean == pytest.approx(held.mean)
    # train, validation and test count together
    monkeypatch.setattr(source, "MEMORY_LIMIT", 20 * 3 * 36 - 1)
    assert isinstance(Folder(root=root).load().train, OnDisk)
    assert isinstance(Folder(root=root, memory=True).load().train, InMemory)
