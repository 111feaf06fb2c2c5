"""The rule of leaving, its costs, and thresholds that keep what they promise, against a search of everything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.adapters.exit_thresholds import NEVER, Costs, Point, chosen, confidence, left_at, outcome
from limbeck.core.errors import MethodError

COSTS = Costs(trunk=(10.0, 25.0, 60.0), heads=(2.0, 3.0))
DEEP = Costs(trunk=(25.0, 50.0, 75.0, 100.0), heads=(5.0, 4.0, 3.0))
GRID = [0.0, *torch.linspace(0.3, 1.0, 36).tolist(), NEVER]


def problem(count: int = 200, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Confidences, and answers that are right about as often as they are sure; deeper is better."""
    generator = torch.Generator().manual_seed(seed)
    easy = torch.rand(count, generator=generator)
    noise = torch.rand(count, 3, generator=generator)
    chance = torch.stack([0.4 + 0.55 * easy, 0.6 + 0.38 * easy, 0.85 + 0.14 * easy], 1)
    return chance[:, :2] * 0.98, noise < chance


def like_a_network(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Confidences at three exits that tell much, but not all, about who is right."""
    generator = torch.Generator().manual_seed(seed)
    easy = torch.rand(count, generator=generator)
    begin, slope = torch.tensor([0.3, 0.45, 0.6, 0.66]), torch.tensor([0.68, 0.54, 0.4, 0.34])
    chance = begin + slope * easy[:, None]
    luck = 0.6 * torch.rand(count, 1, generator=generator) + 0.4 * torch.rand(count, 4, generator=generator)
    sure = chance[:, :3] + 0.05 * torch.randn(count, 3, generator=generator)
    return sure.clamp(0.1, 0.9999), luck < chance


def keeping(points: Sequence[Point], right: Tensor, drop: float) -> list[Point]:
    """Those whose accuracy is at most `drop` points below the end's, and so by twice its noise."""
    floor = right[:, -1].double().mean().item() - drop / 100
    return [point for point in points if point.accuracy - 2 * point.noise >= floor - 1e-9]


def test_a_sample_leaves_at_the_first_exit_that_is_sure_enough() -> None:
    sure = torch.tensor([[0.9, 0.1], [0.8, 0.95], [0.3, 0.7], [0.9, 0.7]])
    assert left_at(sure, [0.9, 0.7]).tolist() == [0, 1, 1, 0]
    assert left_at(sure, [0.95, 0.9]).tolist() == [2, 1, 2, 2]
    assert left_at(sure, [NEVER, 0.0]).tolist() == [1] * 4
    assert left_at(sure, [NEVER, NEVER]).tolist() == [2] * 4


def test_confidence_is_the_largest_probability_in_single_precision() -> None:
    logits = torch.tensor([[0.0, 0.0], [torch.log(torch.tensor(3.0)), 0.0]])
    assert confidence(logits).tolist() == pytest.approx([0.5, 0.75])
    assert confidence(logits.bfloat16()).dtype == torch.float32


def test_costs_are_of_the_trunk_and_of_all_open_heads_on_the_way() -> None:
    assert COSTS.leaving([0.5, 0.5]) == [12.0, 30.0, 65.0]
    assert COSTS.leaving([NEVER, 0.5]) == [10.0, 28.0, 63.0]
    assert COSTS.leaving([NEVER, NEVER]) == [10.0, 25.0, 60.0]


def test_an_outcome_by_hand() -> None:
    sure = torch.tensor([[0.9, 0.1], [0.8, 0.95], [0.3, 0.2], [0.9, 0.7]])
    right = torch.tensor([[True, False, False], [False, True, False], [False, False, True], [False, True, True]])
    found = outcome(sure, right, COSTS, [0.9, 0.7])
    assert found.shares == (0.5, 0.25, 0.25)
    assert found.accuracy == 0.75
    assert found.cost == (12 + 30 + 65 + 12) / 4


@pytest.mark.parametrize("drop", [0.0, 1.0, 5.0, 100.0])
def test_an_accuracy_drop_is_kept_and_nearly_the_best_speed_is_found(drop: float) -> None:
    sure, right = problem()
    found = chosen(sure, right, COSTS, accuracy_drop=drop)
    assert found == outcome(sure, right, COSTS, found.thresholds)
    points = [found, *(outcome(sure, right, COSTS, pair) for pair in product(GRID, GRID))]
    kept = keeping(points, right, drop)
    assert kept[0] == found
    assert found.cost <= 1.03 * min(point.cost for point in kept)
    assert all(value == NEVER or value == round(value, 4) for value in found.thresholds)


@pytest.mark.parametrize("drop", [1.0, 3.0])
@pytest.mark.parametrize("seed", [0, 2])
def test_the_search_is_not_stuck_among_three_exits(seed: int, drop: float) -> None:
    sure, right = like_a_network(600, seed=seed)
    found = chosen(sure, right, DEEP, accuracy_drop=drop)
    values = [0.0, *torch.linspace(0.35, 0.995, 12).tolist(), NEVER]
    kept = keeping([outcome(sure, right, DEEP, triple) for triple in product(values, repeat=3)], right, drop)
    assert found.cost <= 1.01 * min(point.cost for point in kept)


@pytest.mark.parametrize(("count", "drop"), [(1000, 1.0), (3000, 0.5)])
def test_what_is_kept_on_few_samples_is_kept_on_others(count: int, drop: float) -> None:
    others = like_a_network(50_000, seed=99)
    full = others[1][:, -1].double().mean().item()
    lost = []
    for seed in range(5):
        found = chosen(*like_a_network(count, seed=seed), DEEP, accuracy_drop=drop)
        assert found.cost < 100
        lost.append(100 * (full - outcome(*others, DEEP, found.thresholds).accuracy))
    assert np.median(lost) < drop  # without a margin all of them are above
    assert max(lost) < 1.5 * drop


def test_noise_is_that_of_the_difference() -> None:
    sure, right = problem()
    found = outcome(sure, right, COSTS, [0.6, 0.7])
    leaves = np.where(sure[:, 0] >= 0.6, 0, np.where(sure[:, 1] >= 0.7, 1, 2))
    answered = right.numpy()[np.arange(200), leaves]
    differences = answered.astype(float) - right[:, 2].numpy()
    one_more = (differences**2).sum() + 1 - differences.sum() ** 2 / 200
    assert found.noise == pytest.approx(one_more**0.5 / 200)
    assert outcome(sure, right, COSTS, [NEVER, NEVER]).noise == 0
    right[:, :2] = right[:, 2:]
    assert outcome(sure, right, COSTS, [0.6, 0.7]).noise == pytest.approx(1 / 200)


@pytest.mark.parametrize("cost", [0.25, 0.5, 0.75, 1.2])
def test_a_cost_is_kept_and_nearly_the_best_accuracy_is_found(cost: float) -> None:
    sure, right = problem()
    found = chosen(sure, right, COSTS, cost=cost)
    assert found.cost <= cost * 60 * (1 + 1e-9)
    points = [outcome(sure, right, COSTS, pair) for pair in product(GRID, GRID)]
    best = max(point.accuracy for point in points if point.cost <= cost * 60)
    assert found.accuracy >= best - 0.011


def test_useless_exits_stay_closed() -> None:
    sure, right = problem()
    right[:, :2] = False
    found = chosen(sure, right, COSTS, accuracy_drop=0.0)
    assert found.thresholds == (NEVER, NEVER)
    assert found.cost == 60.0


def test_an_exit_that_knows_everything_lets_all_leave() -> None:
    sure, right = problem()
    right[:, 0] = True
    assert chosen(sure, right, COSTS, accuracy_drop=0.0).shares == (1.0, 0.0, 0.0)


def test_overconfident_exits_are_judged_by_four_decimals() -> None:
    sure = torch.full((100, 1), 1 - 1e-6)
    right = torch.tensor([[True, True]] * 90 + [[False, True]] * 10)
    costs = Costs(trunk=(1.0, 10.0), heads=(1.0,))
    assert chosen(sure, right, costs, accuracy_drop=10.0).thresholds == (NEVER,)
    assert chosen(sure, right, costs, accuracy_drop=17.0).shares == (1.0, 0.0)


def test_what_cannot_be_reached_is_said() -> None:
    sure, right = problem()
    with pytest.raises(MethodError, match=r"no thresholds bring the mean cost to 10% .* the least is 20%"):
        chosen(sure, right, COSTS, cost=0.1)
    with pytest.raises(MethodError, match="labelled validation samples, and there is none"):
        chosen(sure[:0], right[:0], COSTS, cost=0.5)
    for targets in ({}, {"cost": 0.5, "accuracy_drop": 1.0}):
        with pytest.raises(ValueError, match="one target"):
            chosen(sure, right, COSTS, **targets)
