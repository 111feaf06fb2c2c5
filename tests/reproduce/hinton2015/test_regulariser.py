from __future__ import annotations

from types import SimpleNamespace

import torch

from limbeck.data.parts import InMemory
from limbeck.reproduce.experiment import Outcome
from limbeck.reproduce.hinton2015.regulariser import EXPERIMENT
from limbeck.sweep.finished import Done
from reproduce.made import CLASSES, Leaning, Made, wrong_on
from reproduce.verdicts import QUICK, drawn, held


def outcome_of(hard: int, early: int, soft: int, *, ends: float, stays: float = 1.0) -> Outcome:
    def runs(last: int, best: int, end: float) -> tuple[Made, ...]:
        lines = [{"step": s, "validation": {"nll": nll}} for s, nll in ((1, 2.0), (2, 0.5), (3, 0.5 * end))]
        labels = torch.arange(CLASSES)
        part = InMemory(torch.zeros(CLASSES, 1, 4, 4, dtype=torch.uint8), labels, ids=labels)
        rest = {"curves": lines, "network": Leaning({}), "data": SimpleNamespace(train=part)}
        return tuple(Made({"last": range(last + s), "best": range(best + s)}, images=10_000, **rest) for s in (0, 2))

    made = {"teacher": wrong_on(range(70)), "everything": runs(130, 130, 1.0)}
    for part in (0.03, 0.1):
        made[f"hard-{part:g}"], made[f"soft-{part:g}"] = runs(hard, early, ends), runs(soft, soft, stays)
    return EXPERIMENT.judge(Done(made), QUICK)


def test_as_in_the_paper() -> None:
    outcome = outcome_of(800, 780, 300, ends=2.0)
    assert held(outcome) == [True, True, True]
    drawn(outcome)


def test_what_soft_targets_may_fail_at() -> None:
    assert held(outcome_of(800, 780, 700, ends=2.0)) == [False, True, True]
    assert held(outcome_of(800, 780, 300, ends=1.1)) == [True, True, False]
    assert held(outcome_of(800, 780, 300, ends=2.0, stays=1.2)) == [True, True, False]
