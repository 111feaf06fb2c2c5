from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax

from limbeck.core.errors import DataError
from limbeck.evaluate.class_bias import best_on_test, matching_prior, with_bias
from limbeck.evaluate.predictions import Predictions


def logits(n: int = 400, c: int = 6, scale: float = 4.0) -> torch.Tensor:
    return scale * torch.randn(n, c, generator=torch.Generator().manual_seed(1))


def predictions(z: torch.Tensor, labels: list[int]) -> Predictions:
    return Predictions(logits=z, labels=torch.tensor(labels), ids=torch.arange(len(z)))


def test_equal_logits_have_a_closed_form() -> None:
    """softmax(b, 0, 0, 0) = π  <=>  b = log(3 π / (1 - π))."""
    (found,) = matching_prior(torch.zeros(5, 4), [2], [0.7])
    assert found == pytest.approx(math.log(3 * 0.7 / 0.3), abs=1e-5)


def test_a_mixture_of_two_kinds_of_images_has_a_closed_form() -> None:
    """Half of the images have the odds a, half 1 / a: at b = 0 the mean of σ(log a) and σ(-log a) is 1/2."""
    z = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    assert matching_prior(z, [0], [0.5])[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("classes", "prior"), [([3], [0.1]), ([0], [0.9]), ([1, 4], [0.1, 0.1]), ([5, 0], [0.02, 0.6])]
)
def test_the_mean_prediction_is_the_prior(classes: list[int], prior: list[float]) -> None:
    z = logits()
    bias = matching_prior(z, classes, prior)
    moved = z.double().numpy().copy()
    moved[:, classes] += bias
    np.testing.assert_allclose(softmax(moved, axis=1).mean(0)[classes], prior, atol=1e-6)


def test_confident_networks_far_from_the_prior_are_no_trouble() -> None:
    """Logits as after long training: a bias of 7 and more, and gradients of almost nothing on the way."""
    z = logits(scale=10.0)
    z[:, [1, 4]] += 30.0
    bias = matching_prior(z, [1, 4], [0.1, 0.1])
    moved = z.double().numpy().copy()
    moved[:, [1, 4]] += bias
    np.testing.assert_allclose(softmax(moved, axis=1).mean(0)[[1, 4]], [0.1, 0.1], atol=1e-6)
    assert max(bias) < -15


def test_what_is_right_already_stays() -> None:
    z = logits()
    prior = torch.softmax(z.double(), 1).mean(0)[2].item()
    assert matching_prior(z, [2], [prior])[0] == pytest.approx(0.0, abs=1e-5)


def test_only_these_columns_move() -> None:
    before = predictions(logits(3), [0, 1, 2])
    after = with_bias(before, [4, 1], [2.0, -1.0])
    expected = before.logits + torch.tensor([0.0, -1.0, 0.0, 0.0, 2.0, 0.0])
    torch.testing.assert_close(after.logits, expected)
    assert torch.equal(before.logits, logits(3))


def test_the_offset_that_is_best_on_the_test_set() -> None:
    """Class 1 is right from an offset of 1 on; class 0 is lost from 3 on: the fewest errors lie between."""
    z = torch.tensor([[1.5, 0.6], [1.0, 0.1], [3.0, 0.2]])
    found = predictions(z, [1, 1, 0])
    offsets = [0.5 * step for step in range(-8, 9)]
    assert best_on_test(found, [1], offsets) == 1.0
    assert best_on_test(predictions(z, [0, 0, 0]), [1], offsets) == 0.0  # among equals the nearest to 0


@pytest.mark.parametrize(
    ("classes", "prior", "message"),
    [
        ([], [], "one share for each"),
        ([1, 1], [0.1, 0.1], "one share for each"),
        ([1, 2], [0.1], "one share for each"),
        ([0, 1, 2, 3, 4, 5], [0.1] * 6, "keep their biases"),
        ([1], [0.0], "above 0"),
        ([1, 2], [0.5, 0.5], "leave something"),
    ],
)
def test_what_cannot_be(classes: list[int], prior: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        matching_prior(logits(), classes, prior)


def test_without_images_nothing_can_be_matched() -> None:
    with pytest.raises(DataError, match="expected images"):
        matching_prior(torch.zeros(0, 4), [1], [0.1])
