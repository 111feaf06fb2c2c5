from __future__ import annotations

import itertools

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.selection import amount_of, drawn, others, stratified

LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 20 + [-100] * 10)
IDS = torch.arange(110) * 5


@pytest.mark.parametrize("count", [0, 1, 7, 11, 55, 109, 110])
def test_classes_keep_their_proportions(count: int) -> None:
    chosen = stratified(LABELS, IDS, count=count, seed=0)
    assert len(chosen.unique()) == len(chosen) == count
    for label, size in ((0, 50), (1, 30), (2, 20), (-100, 10)):
        assert abs(int((LABELS[chosen] == label).sum()) - size * count / 110) < 1


def test_the_same_samples_for_ever() -> None:
    assert stratified(torch.tensor([0, 1] * 6), torch.arange(12), count=4, seed=0).tolist() == [2, 5, 7, 10]


def test_chosen_by_id_not_by_position() -> None:
    order = torch.randperm(110)
    chosen = stratified(LABELS[order], IDS[order], count=22, seed=0)
    expected = IDS[stratified(LABELS, IDS, count=22, seed=0)]
    assert IDS[order][chosen].sort().values.tolist() == expected.tolist()


def test_other_seeds_choose_others() -> None:
    first, second = (stratified(LABELS, IDS, count=22, seed=seed) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_equal_classes_are_nested() -> None:
    labels, ids = torch.arange(100) % 5, torch.arange(100)
    chosen = [set(stratified(labels, ids, count=count, seed=0).tolist()) for count in range(0, 101, 9)]
    assert all(small <= large for small, large in itertools.pairwise(chosen))


def test_the_rest() -> None:
    chosen = stratified(LABELS, IDS, count=22, seed=0)
    rest = others(chosen, total=110)
    assert sorted(chosen.tolist() + rest.tolist()) == list(range(110))


@pytest.mark.parametrize(("amount", "count"), [(0, 0), (50, 50), (200, 200), (0.25, 50), (1.0, 200), (1, 1), (0.0, 0)])
def test_whole_numbers_count_and_fractions_share(amount: float, count: int) -> None:
    assert amount_of(amount, total=200, key="data.subset") == count


@pytest.mark.parametrize("amount", [201, -1, 1.5])
def test_impossible_amounts(amount: float) -> None:
    with pytest.raises(DataError, match=r"data\.subset.*of 200 images"):
        amount_of(amount, total=200, key="data.subset")


def test_some_classes_are_drawn_anew_for_each_epoch() -> None:
    epochs = [drawn(LABELS, IDS, at_most={0: 20, 2: 5}, seed=0, epoch=epoch) for epoch in range(40)]
    for one in epochs:
        assert one.tolist() == sorted(set(one.tolist()))
        assert [int((LABELS[one] == label).sum()) for label in (0, 1, 2, -100)] == [20, 30, 5, 10]
    seen = torch.cat(epochs).bincount(minlength=110)
    assert int(seen.min()) > 0
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[0], drawn(LABELS, IDS, at_most={0: 20, 2: 5}, seed=0, epoch=0))


def test_without_a_limit_everything_is_drawn() -> None:
    assert drawn(LABELS, IDS, at_most={}, seed=0, epoch=3).tolist() == list(range(110))
