"""The data of a specialist: its classes, the dustbin, and half an epoch of each."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from limbeck.core.errors import DataError
from limbeck.data.dataset import Dataset
from limbeck.data.digits import Digits
from limbeck.data.loader import Loader
from limbeck.data.special import DUSTBIN, Confused, Special

from .making import little_part


def whole(**changes: object) -> Dataset:
    """80 training, 20 validation and 8 test images of four classes."""
    parts = {"train": little_part(80, first_id=0), "validation": little_part(20, first_id=80), "test": little_part(8)}
    fields = {"classes": ("a", "b", "c", "d"), "mean": (0.5,) * 3, "std": (0.2,) * 3, "description": {"name": "given"}}
    return replace(Dataset(**parts, **fields), **changes)  # type: ignore[arg-type]


def test_classes_get_new_numbers_and_the_others_become_one() -> None:
    data = Special(classes=("c", "a")).applied(whole())
    assert data.classes == ("c", "a", DUSTBIN)
    for part, before in ((data.train, whole().train), (data.validation, whole().validation), (data.test, whole().test)):
        expected = [[1, 2, 0, 2][label] for label in before.labels.tolist()]
        assert part.labels.tolist() == expected
    assert data.description == {"name": "given", "classes": 3, "special": "c, a", "drawn": 40}


def test_images_without_a_label_stay_without() -> None:
    train = little_part(80, first_id=0)
    train = train.with_labels(torch.where(train.ids < 40, train.labels, -100))
    data = Special(classes=("a",)).applied(whole(train=train))
    assert data.train.labels[40:].unique().tolist() == [-100]
    assert data.at_most == {1: 10}


def test_half_of_an_epoch_is_special_and_the_other_half_changes() -> None:
    data = Special(classes=("b",)).applied(whole())
    made = Loader(data.train, batch=10, seed=0, classes=2, at_most=data.at_most)
    assert made.steps_per_epoch == 4
    epochs = []
    for epoch in range(3):
        batches = [made.step(4 * epoch + step)[0] for step in range(4)]
        ids, labels = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("ids", "labels"))
        assert len(ids.unique()) == 40
        assert sorted(ids[labels == 0].tolist()) == list(range(1, 80, 4))
        epochs.append(set(ids[labels == 1].tolist()))
    assert all(len(one) == 20 for one in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_another_share() -> None:
    data = Special(classes=("a", "b"), share=0.8).applied(whole())
    assert data.at_most == {2: 10}
    assert data.shown == (1.0, 1.0, 0.25)


def test_the_key_of_a_data_set() -> None:
    data = Digits(validation=0, special=Special(classes=("3", "8"))).load()
    assert data.classes == ("3", "8", DUSTBIN)
    assert data.mean == Digits(validation=0).load().mean
    assert (data.train.labels == 0).sum() == (Digits(validation=0).load().train.labels == 3).sum()


@pytest.mark.parametrize(
    ("classes", "share", "message"),
    [
        (("a", "x"), 0.5, "no class 'x'"),
        (("a", "a"), 0.5, "expected fewer than the data's 4 classes, each once, got 2"),
        (("a", "b", "c", "d"), 0.5, "expected fewer than the data's 4 classes"),
        (("a", "b", "c"), 0.5, "60 images of its classes.*go with 60 others; there are 20"),
        (("a",), 0.999, "go with 0 others"),
    ],
)
def test_what_cannot_be_is_said(classes: tuple[str, ...], share: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Special(classes=classes, share=share).applied(whole())


def test_classes_that_follow_from_a_network_need_one() -> None:
    with pytest.raises(DataError, match="only a run can load such data"):
        Special(classes=Confused(cluster=0, of=2, size=2)).applied(whole())
    with pytest.raises(ValidationError, match="cluster 2 does not exist: of 2, counted from 0"):
        Confused(cluster=2, of=2, size=2)


def test_an_epoch_that_has_only_some_samples_cannot_mix_all() -> None:
    from limbeck.data.augment import Augment

    data = Special(classes=("b",)).applied(whole())
    with pytest.raises(DataError, match="mixup and cutmix"):
        Loader(data.train, batch=10, seed=0, classes=2, at_most=data.at_most, augment=Augment(mixup=1.0))


def test_any_step_can_be_asked_for_again() -> None:
    data = Special(classes=("b",)).applied(whole())
    made = Loader(data.train, batch=10, seed=0, classes=2, at_most=data.at_most)
    later = [step[0].ids for step in itertools.islice(made.batches(7), 3)]
    assert [ids.tolist() for ids in later] == [made.step(step)[0].ids.tolist() for step in (7, 8, 9)]
