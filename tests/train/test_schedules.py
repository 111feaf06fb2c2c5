"""Schedules against closed forms, written here a second time, and against torch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR

from limbeck.train.schedules import multiplier
from limbeck.train.settings import Constant, Cosine, Linear, Step

STEPS = 40


def rates(schedule: Constant | Cosine | Linear | Step, *, steps: int = STEPS, steps_per_epoch: int = 10) -> list[float]:
    return [multiplier(schedule, step, steps, steps_per_epoch=steps_per_epoch) for step in range(steps)]


def of_torch(make: type[LRScheduler], **arguments: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, found = make(optimizer, **arguments), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_torch_agrees() -> None:
    assert rates(Constant()) == [1.0] * STEPS
    assert rates(Cosine(end=0.1)) == pytest.approx(of_torch(CosineAnnealingLR, T_max=STEPS, eta_min=0.1))
    linear = of_torch(LinearLR, start_factor=1.0, end_factor=0.2, total_iters=STEPS)
    assert rates(Linear(end=0.2)) == pytest.approx(linear)
    stepped = of_torch(MultiStepLR, milestones=[20, 30], gamma=0.1)
    assert rates(Step(at=(0.5, 0.75), factor=0.1)) == pytest.approx(stepped)


@pytest.mark.parametrize("warmup", ["5 steps", "0.5 epochs"])
def test_warm_up_is_a_straight_line_to_the_full_rate(warmup: str) -> None:
    for schedule in (Constant(warmup=warmup), Cosine(warmup=warmup), Linear(warmup=warmup), Step(warmup=warmup)):
        assert rates(schedule)[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])


def test_after_the_warm_up_the_rest_is_one_whole_curve() -> None:
    found = rates(Cosine(warmup="8 steps"))
    expected = [(1 + math.cos(math.pi * t / 32)) / 2 for t in range(32)]
    assert found[8:] == pytest.approx(expected)


def test_a_warm_up_longer_than_the_stage_only_warms_up() -> None:
    assert rates(Cosine(warmup="9 epochs"), steps=3) == pytest.approx([0.25, 0.5, 0.75])


def test_a_stage_of_one_step_has_the_full_rate() -> None:
    for schedule in (Constant(), Cosine(), Linear(), Step()):
        assert rates(schedule, steps=1) == [1.0]
