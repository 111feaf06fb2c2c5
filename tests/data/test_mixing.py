from __future__ import annotations

import pytest
import torch
from scipy.special import betainc
from torch import Tensor

from limbeck.data.augment import Augment
from limbeck.data.mixing import beta, mixed, mixed_labels, partners
from limbeck.data.randomness import random_bits


def of_ones(count: int, augment: Augment, *, side: int = 16) -> tuple[Tensor, Tensor]:
    """Images of ones mixed with images of zeros: every pixel shows its weight."""
    ones = torch.ones(count, 1, side, side)
    return mixed(ones, torch.zeros_like(ones), torch.arange(count), augment=augment, seed=0, epoch=0)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    # compared at points, not by their largest distance: near 1 float32 is coarser than Beta(0.2, 0.2)
    drawn = beta(random_bits(torch.arange(20_000), seed=0, purpose=4)[:, 0], alpha=alpha)
    for point in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        expected = betainc(alpha, alpha, point)
        error = (expected * (1 - expected) / 20_000) ** 0.5
        assert abs((drawn <= point).double().mean().item() - expected) < 4 * error + 1e-4


def test_mixup_weighs_every_pixel_by_its_share() -> None:
    images, share = of_ones(50, Augment(mixup=1.0))
    assert torch.allclose(images, share[:, None, None, None].expand_as(images))
    assert 0.4 < share.mean() < 0.6
    assert share.std() > 0.2


def test_cutmix_takes_one_box_and_counts_it() -> None:
    images, share = of_ones(200, Augment(cutmix=1.0))
    assert torch.equal(images.unique(), torch.tensor([0.0, 1.0]))
    assert torch.allclose(images.mean((1, 2, 3)), share)
    for hole in (images[:, 0] == 0).unbind():
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None, :])
        for side in (rows, columns):
            # one run of consecutive pixels
            assert (side.int().diff().abs().sum() + side[0].int() + side[-1].int()) in (0, 2)


def test_both_share_the_samples_evenly() -> None:
    images, _ = of_ones(1000, Augment(mixup=1.0, cutmix=1.0))
    whole = (images == images[:, :, :1, :1]).flatten(1).all(1)
    assert 400 < whole.sum() < 650


def test_labels_keep_the_shares_and_sum_to_one() -> None:
    share = torch.tensor([0.25, 1.0, 0.5, 0.5])
    got = mixed_labels(torch.tensor([0, 1, 2, -100]), torch.tensor([1, 2, 2, 0]), share, classes=3)
    expected = [[0.25, 0.75, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert torch.allclose(got, torch.tensor(expected))


def test_an_unlabelled_partner_leaves_no_label() -> None:
    got = mixed_labels(torch.tensor([1]), torch.tensor([-100]), torch.tensor([0.9]), classes=3)
    assert got.tolist() == [[0.0, 0.0, 0.0]]


def test_partners_are_spread_over_the_part() -> None:
    chosen = partners(torch.arange(1000), among=100, seed=0, epoch=0)
    assert chosen.min() >= 0
    assert chosen.max() <= 99
    assert len(chosen.unique()) > 90
    assert not torch.equal(chosen, partners(torch.arange(1000), among=100, seed=0, epoch=1))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    images, others, ids = torch.rand(20, 3, 8, 8), torch.rand(20, 3, 8, 8), torch.arange(20) + 7
    augment = Augment(mixup=0.4, cutmix=1.0)
    whole, share = mixed(images, others, ids, augment=augment, seed=1, epoch=2)
    some = torch.tensor([5, 2, 17])
    part, part_share = mixed(images[some], others[some], ids[some], augment=augment, seed=1, epoch=2)
    assert torch.equal(part, whole[some])
    assert torch.equal(part_share, share[some])
