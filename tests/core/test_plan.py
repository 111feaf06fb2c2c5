"""The plan is data: comparable, with rates and defaults."""

from __future__ import annotations

import dataclasses

import pytest

from limbeck.core.plan import At, Stage, Turn


def test_the_default_plan_trains_the_student_and_all_adapters_at_the_full_rate() -> None:
    assert Stage().turns == (Turn(),)
    assert Turn().rates == {"student": 1.0, "adapters": 1.0}
    assert Stage().share == 1.0


def test_a_mapping_gives_rates() -> None:
    rates = {"student": 1.0, "student.stem": 0.1}
    turn = Turn("terms", rates)
    assert turn.rates == rates
    turn.rates["student"] = 9
    assert turn.rates == rates


def test_turns_are_equal_by_value_and_immutable() -> None:
    assert Turn("a", ("student",)) == Turn("a", ("student",))
    assert Turn("a", ("student",)) != Turn("b", ("student",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Turn().terms = "other"


def test_two_positions_differ_by_their_step_but_not_by_their_generator() -> None:
    first, second = At(Turn(), step=1), At(Turn(), step=1)
    first.rng.random()
    assert first == second
    assert first != At(Turn(), step=2)


def test_the_default_generator_is_seeded() -> None:
    assert At(Turn()).rng.random() == At(Turn()).rng.random()
