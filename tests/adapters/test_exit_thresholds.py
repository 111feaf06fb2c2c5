"""The rule of leaving, its costs, and thresholds that keep what they promise, against a search of everything."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from limbeck.adapters.exit_thresholds import NEVER, Costs, chosen, confidence, left_at, outcome
from limbeck.core.errors import MethodError

COSTS = Costs(trunk=(10.0, 25.0, 60.0), heads=(2.0, 3.0))


def problem(count: int = 200, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Confidences, and answers that are right about as often as they are sure; deeper is better."""
    generator = torch.Generator().manual_seed(seed)
    easy = torch.rand(count, generator=generator)
    noise = torch.rand(count, 3, generator=generator)
    chance = torch.stack([0.4 + 0.55 * easy, 0.6 + 0.38 * easy, 0.85 + 0.14 * easy], 1)
    return chance[:, :2] * 0.98, noise < chance


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
    full = right[:, 2].double().mean().item()
    assert found.accuracy >= full - drop / 100 - 1e-9
    assert found == outcome(sure, right, COSTS, found.thresholds)
    values = [0.0, *torch.linspace(0.3, 1.0, 36).tolist(), NEVER]
    points = [outcome(sure, right, COSTS, pair) for pair in product(values, values)]
    best = min(point.cost for point in points if point.accuracy >= full - drop / 100 - 1e-9)
    assert found.cost <= 1.03 * best
    assert all(value == NEVER or value == round(value, 4) for value in found.thresholds)


@pytest.mark.parametrize("cost", [0.25, 0.5, 0.75, 1.2])
def test_a_cost_is_kept_and_nearly_the_best_accuracy_is_found(cost: float) -> None:
    sure, right = problem()
    found = chosen(sure, right, COSTS, cost=cost)
    assert found.cost <= cost * 60 * (1 + 1e-9)
    values = [0.0, *torch.linspace(0.3, 1.0, 36).tolist(), NEVER]
    points = [outcome(sure, right, COSTS, pair) for pair in product(values, values)]
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
    sure = torch.full((10, 1), 1 - 1e-6)
    right = torch.tensor([[True, True]] * 9 + [[False, True]])
    costs = Costs(trunk=(1.0, 10.0), heads=(1.0,))
    assert chosen(sure, right, costs, accuracy_drop=1.0).thresholds == (NEVER,)
    assert chosen(sure, right, costs, accuracy_drop=10.0).shares == (1.0, 0.0)


def test_what_cannot_be_reached_is_said() -> None:
    sure, right = problem()
    with pytest.raises(MethodError, match=r"no thresholds bring the mean cost to 10% .* the least is 20%"):
        chosen(sure, right, COSTS, cost=0.1)
    with pytest.raises(MethodError, match="labelled validation samples, and there is none"):
        chosen(sure[:0], right[:0], COSTS, cost=0.5)
    for targets in ({}, {"cost": 0.5, "accuracy_drop": 1.0}):
        with pytest.raises(ValueError, match="one target"):
            chosen(sure, right, COSTS, **targets)
