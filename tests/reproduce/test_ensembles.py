from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from scipy.special import softmax

from limbeck.evaluate.predictions import Predictions
from limbeck.reproduce.ensembles import mean_of


def predictions(logits: torch.Tensor, order: list[int]) -> Predictions:
    """Image i shows class i mod 3; rows come in the given order."""
    rows = torch.tensor(order)
    return Predictions(logits=logits[rows], labels=rows % 3, ids=rows)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_the_mean_of_distributions_whatever_the_order_of_the_images(mean: Literal["arithmetic", "geometric"]) -> None:
    logits = [2.0 * torch.randn(5, 3) for _ in range(3)]
    orders = [[0, 1, 2, 3, 4], [4, 2, 0, 1, 3], [3, 4, 1, 0, 2]]
    found = mean_of([predictions(*pair) for pair in zip(logits, orders, strict=True)], mean)
    shares = softmax(np.stack([one.double().numpy() for one in logits]), axis=-1)
    expected = shares.mean(0) if mean == "arithmetic" else softmax(np.log(shares).mean(0), axis=-1)
    np.testing.assert_allclose(softmax(found.logits.double().numpy(), axis=-1), expected, rtol=1e-5)
    assert found.ids.tolist() == [0, 1, 2, 3, 4]
    assert found.labels.tolist() == [0, 1, 2, 0, 1]


def test_arithmetic_unless_asked_otherwise_and_that_matters() -> None:
    """Two are a little for class 1, one is sure of class 0: means (0.6, 0.4) and odds of (0.4²·0.999 / 0.6²·0.001)."""
    members = [predictions(torch.tensor([[p, 1 - p, 1e-12]]).log(), [0]) for p in (0.4, 0.4, 0.999)]
    shares = mean_of(members).logits.softmax(-1)[0]
    torch.testing.assert_close(shares[:2], torch.tensor([1.799 / 3, 1.201 / 3]))
    odds = mean_of(members, "geometric").logits[0]
    torch.testing.assert_close((odds[0] - odds[1]).exp(), torch.tensor((0.4 / 0.6) ** (2 / 3) * 999 ** (1 / 3)))


def test_one_member_says_what_it_says_alone() -> None:
    alone = predictions(torch.randn(4, 3), [2, 0, 3, 1])
    found = mean_of([alone])
    torch.testing.assert_close(found.logits[alone.ids].softmax(-1), alone.logits.softmax(-1))


def test_most_of_three_are_right() -> None:
    """Each is wrong about another image; together about none."""
    right = 3.0 * torch.nn.functional.one_hot(torch.arange(3) % 3, 3).float()
    members = []
    for wrong in range(3):
        logits = right.clone()
        logits[wrong] = logits[wrong].roll(1)
        members.append(predictions(logits, [0, 1, 2]))
    assert [(one.logits.argmax(1) != one.labels).sum().item() for one in members] == [1, 1, 1]
    together = mean_of(members)
    assert torch.equal(together.logits.argmax(1), together.labels)
