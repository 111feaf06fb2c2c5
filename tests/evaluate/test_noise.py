from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from scipy import stats

from limbeck.core.errors import DataError
from limbeck.evaluate.noise import Errors
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


def test_networks_of_one_group_are_one_seed() -> None:
    wrong = torch.stack([torch.arange(1000) < count for count in (80, 100, 110, 130)])
    grouped, single = Errors(wrong, group=2), Errors(wrong)
    assert grouped.counts == [90, 120]
    assert grouped.mean == single.mean == 105
    assert grouped.spread == pytest.approx(math.sqrt(450))
    assert grouped.noise == pytest.approx(math.sqrt(105 * (1 - 0.105) + 450 / 2))
    other = Errors(torch.arange(1000).expand(2, -1) < 200)
    assert grouped.fewer_than(other).noise > single.fewer_than(other).noise


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


def test_an_interval_of_single_networks_is_that_of_the_images() -> None:
    one, other = Errors.of(wrong_on(range(60))), Errors.of(wrong_on(range(40, 140)))
    found = one.accuracy_over(other)
    d = np.concatenate([np.full(40, -1.0), np.full(80, 1.0), np.zeros(880)])
    half = stats.t.ppf(0.975, 999) * d.std() / math.sqrt(1000)
    assert found.value == pytest.approx(d.mean())
    assert (found.low, found.high) == (pytest.approx(d.mean() - half), pytest.approx(d.mean() + half))
    assert (found.seeds, found.better, found.worse) == (1, True, False)
    assert other.accuracy_over(one).worse


def test_equal_seeds_are_paired() -> None:
    """Every seed of one is better by the same number: the seeds add nothing to the noise, however far they spread."""
    one = Errors.of(wrong_on(range(50), range(100), range(150)))
    other = Errors.of(wrong_on(range(60), range(110), range(160)))
    images = float(torch.var(other.wrong.double().mean(0) - one.wrong.double().mean(0), correction=0)) / 1000
    found = one.accuracy_over(other)
    freedom = images**2 / (images**2 / 999)
    assert found.value == pytest.approx(0.01)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(images))


def test_few_seeds_that_spread_make_the_interval_wide() -> None:
    one, other = Errors.of(wrong_on(range(50), range(90))), Errors.of(wrong_on(range(100), range(100)))
    seeds = (20**2 * 2 / 1 / 2) / 1000**2  # variance of (50, 10) over two seeds
    images = float(torch.var(other.wrong.double().mean(0) - one.wrong.double().mean(0), correction=0)) / 1000
    freedom = (seeds + images) ** 2 / (seeds**2 / 1 + images**2 / 999)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(seeds + images)
    found = one.accuracy_over(other)
    assert (found.value, found.high) == (pytest.approx(0.03), pytest.approx(0.03 + half))
    assert not found.better  # the same gain with one seed would be called clear
    assert Errors.of(wrong_on(range(70))).accuracy_over(Errors.of(wrong_on(range(100)))).better


def test_unequal_numbers_of_seeds_are_not_paired() -> None:
    teacher, students = Errors.of(wrong_on(range(50))), Errors.of(wrong_on(range(50), range(70), range(90)))
    found = teacher.accuracy_over(students)
    assert (found.value, found.seeds) == (pytest.approx(0.02), 1)
    assert found.high - found.value > 1.96 * 20 / math.sqrt(3) / 1000  # the students' own spread, at least


def test_nothing_differs_from_itself() -> None:
    one = Errors.of(wrong_on(range(50), range(90)))
    found = one.accuracy_over(one)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Seeds and test images drawn anew many times: at least 95 of 100 intervals hold the true difference."""
    rng, covered, draws = np.random.default_rng(0), 0, 400
    # P(u + v < 2 r) of two uniforms is 2 r²; its mean over r ~ N(m, s²) is 2 (m² + s²).
    truth = 2 * (0.13**2 - 0.10**2)
    for _ in range(draws):
        hard, rates = rng.random(500), rng.normal([0.10, 0.13], 0.01, size=(3, 2))
        wrong = [torch.from_numpy(hard[None] * 0.5 + rng.random((3, 500)) * 0.5 < rates[:, [i]]) for i in (0, 1)]
        found = Errors(wrong[0]).accuracy_over(Errors(wrong[1]))
        covered += found.low <= truth <= found.high
    assert 0.94 <= covered / draws <= 0.995
