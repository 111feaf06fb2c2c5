from __future__ import annotations

from limbeck.evaluate.noise import Errors
from limbeck.reproduce.experiment import Outcome
from limbeck.reproduce.hinton2015.temperature import EXPERIMENT, best, label, temperatures, widths
from limbeck.sweep.finished import Done
from reproduce.made import wrong_on
from reproduce.verdicts import QUICK, drawn, held


def outcome_of(narrow: dict[float, int], wide: int = 100, bump: int = 0) -> Outcome:
    runs = {"teacher": wrong_on(range(80), images=10_000)}
    for units in widths(QUICK):
        for t in temperatures(QUICK):
            count = narrow[t] if units == 30 else wide + (bump if t == 20 else 0) + (30 if t < 8 else 0)
            runs[label(units, t)] = wrong_on(range(count), range(count + 2), images=10_000)
        runs[label(units, None)] = wrong_on(range(wide), images=10_000)
    return EXPERIMENT.judge(Done(runs), QUICK)


def test_as_in_the_paper() -> None:
    outcome = outcome_of({1: 290, 3: 260, 8: 300, 20: 350})
    assert held(outcome) == [True, True, True]
    assert "T = 3 with 261" in outcome.claims[1].evidence
    drawn(outcome)


def test_a_wide_net_that_wants_a_certain_temperature() -> None:
    assert held(outcome_of({1: 290, 3: 260, 8: 300, 20: 350}, bump=60))[0] is False


def test_a_narrow_net_that_wants_a_high_one() -> None:
    assert held(outcome_of({1: 350, 3: 300, 8: 270, 20: 260})) == [True, False, False]


def test_the_lowest_of_equals_is_the_best() -> None:
    same = Errors.of(wrong_on(range(5)))
    assert best({3.0: same, 1.0: same, 8.0: Errors.of(wrong_on(range(9)))}) == 1.0
