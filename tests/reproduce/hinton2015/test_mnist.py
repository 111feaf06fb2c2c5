"""Verdicts on runs whose errors are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from limbeck.reproduce.experiment import Outcome, Scale
from limbeck.reproduce.hinton2015.mnist import EXPERIMENT, closed
from limbeck.sweep.finished import Done
from reproduce.made import Made, wrong_on
from reproduce.verdicts import FULL, QUICK, drawn, held


def trained(term: str, *errors: Sequence[int]) -> tuple[Made, ...]:
    lines = [{"step": s, "epoch": s / 10, "terms": {term: 2.0 / s}} for s in (1, 10, 20)]
    return wrong_on(*errors, images=10_000, curves=lines)


def outcome_of(teacher: int, alone: Sequence[int], distilled: Sequence[int], scale: Scale = FULL) -> Outcome:
    runs = {
        "teacher": trained("task", range(teacher)),
        "alone": trained("task", *(range(count) for count in alone)),
        "distilled": trained("kd", *(range(count) for count in distilled)),
    }
    return EXPERIMENT.judge(Done(runs), scale)


def test_as_in_the_paper() -> None:
    outcome = outcome_of(67, [146, 148], [74, 76])
    assert held(outcome) == [True, True, True]
    assert (outcome.lines[-1].paper, outcome.lines[-1].ours) == ("91%", "90%")
    drawn(outcome)


def test_a_third_of_the_gap_is_not_half_of_it() -> None:
    assert held(outcome_of(67, [146, 148], [120, 122])) == [True, False, True]


def test_a_teacher_that_is_too_weak() -> None:
    assert held(outcome_of(93, [146, 148], [96, 98])) == [True, True, False]


def test_the_quick_version_asks_less_of_the_teacher() -> None:
    assert held(outcome_of(193, [246, 248], [206, 208], QUICK)) == [True, True, True]
    assert held(outcome_of(247, [246, 248], [206, 208], QUICK)) == [True, False, False]


def test_a_gain_within_the_noise_is_no_gain() -> None:
    assert held(outcome_of(67, [120, 160], [118, 150])) == [False, False, True]


def test_the_share_of_the_gap() -> None:
    assert closed(67, 146, 74) == pytest.approx(72 / 79)
    assert closed(100, 90, 80) == 0.0
