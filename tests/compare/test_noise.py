from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from limbeck.compare.noise import Errors
from limbeck.core.errors import DataError
from reproduce.made import wrong_on


def test_counts_and_their_noise() -> None:
    errors = Errors.of(wrong_on(range(90), range(110), images=1000))
    assert errors.counts == [90, 110]
    assert (errors.mean, errors.rate, errors.images) == (100, 0.1, 1000)
    assert errors.spread == pytest.approx(math.sqrt(200))
    assert errors.counting == pytest.approx(math.sqrt(1000 * 0.1 * 0.9))  # the binomial distribution's deviation
    assert errors.noise == pytest.approx(math.sqrt(90 + 200 / 2))
    assert str(errors) == "100 ± 14"
    assert str(Errors.of(wrong_on(range(90)))) == "90"


def test_for_two_networks_it_is_mcnemar_s() -> None:
    one, other = Errors.of(wrong_on(range(60))), Errors.of(wrong_on(range(40, 140)))
    found = one.fewer_than(other)
    only_one, only_other = 40, 80  # images on which one of them is wrong
    assert found.value == only_other - only_one
    assert found.noise == pytest.approx(math.sqrt(only_one + only_other - 40**2 / 1000))
    assert found.clear
    assert not other.fewer_than(one).clear
    assert str(found) == "40 ± 11"


def test_a_network_differs_from_itself_by_nothing() -> None:
    one = Errors.of(wrong_on(range(60)))
    assert (one.fewer_than(one).value, one.fewer_than(one).noise) == (0.0, 0.0)
    assert not one.fewer_than(one).clear


def test_the_noise_is_that_of_drawing_other_test_sets() -> None:
    """Two networks whose errors overlap, tested on many sets: their difference scatters by as much as one set says."""
    rng, draws = np.random.default_rng(0), []
    for _ in range(400):
        hard = rng.random(2000)
        wrong = torch.from_numpy(np.stack([hard > 0.95, (hard > 0.97) | (rng.random(2000) > 0.98)]))
        found = Errors(wrong[:1]).fewer_than(Errors(wrong[1:]))
        draws.append((found.value, found.noise))
    values, noises = np.array(draws).T
    assert noises.mean() == pytest.approx(values.std(), rel=0.1)


def test_the_order_of_the_images_does_not_matter() -> None:
    (made,) = wrong_on([3, 7, 11], images=20)
    first = made.predictions()
    order = torch.tensor(random.Random(0).sample(range(20), 20))
    assert Errors.in_predictions([first]).wrong.equal(Errors.in_predictions([first.take(order)]).wrong)


def test_other_images_cannot_be_compared() -> None:
    (made,), (fewer,) = wrong_on([1]), wrong_on([1], images=500)
    with pytest.raises(DataError, match="on the same images"):
        Errors.in_predictions([made.predictions(), fewer.predictions()])
    with pytest.raises(DataError, match="got 1000 and 500"):
        Errors.of([made]).fewer_than(Errors.of([fewer]))
