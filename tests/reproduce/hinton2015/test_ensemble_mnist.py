from __future__ import annotations

import math

from limbeck.reproduce.experiment import Outcome
from limbeck.reproduce.hinton2015.ensemble_mnist import EnsembleMnist
from limbeck.sweep.finished import Done
from reproduce.made import wrong_on
from reproduce.verdicts import QUICK, drawn, held


def outcome_of(student: int) -> Outcome:
    """Four members that are wrong on 100 images each, of which they share 20."""
    members = [[*range(20), *range(1000 * (k + 1), 1000 * (k + 1) + 80)] for k in range(4)]
    shared = range(20, 20 + student)
    runs = {"member": wrong_on(*members, images=10_000), "one": wrong_on(shared, shared, images=10_000)}
    return EnsembleMnist().judge(Done(runs), QUICK)


def test_a_mean_is_right_where_most_members_are() -> None:
    outcome = outcome_of(25)
    assert [line.ours for line in outcome.lines[:3]] == ["100 ± 0", "20", "20"]
    assert held(outcome) == [True, True]
    assert math.isclose(float(outcome.lines[-1].ours.rstrip("%")), 100 * 75 / 80, abs_tol=1)
    drawn(outcome)


def test_a_student_that_keeps_little() -> None:
    assert held(outcome_of(90)) == [True, False]
