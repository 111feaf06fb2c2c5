"""Native ensembles judged on errors that are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from limbeck.evaluate.noise import Errors
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.without_teacher import ban
from limbeck.reproduce.without_teacher.one import EXPERIMENT, WAYS, Found
from limbeck.sweep.planning import planned
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = 10_000
COUNTS = {"alone": 3000, "one": 2600, "one-ungated": 2700, "one-undistilled": 2800, "all": 2400, "others": 2300}


def errors(count: int) -> Errors:
    """Of two seeds."""
    return Errors(torch.stack([torch.arange(IMAGES) < count + 5 * seed for seed in range(2)]))


def found(changed: Mapping[str, int] | None = None) -> Found:
    counts = {**COUNTS, **(changed or {})}
    branches = {label: errors(counts[label]) for label in WAYS}
    return Found(
        errors(counts["alone"]), branches, dict.fromkeys(WAYS, errors(counts["all"])), errors(counts["others"])
    )


def test_as_in_the_paper() -> None:
    outcome = found().outcome(FULL)
    assert held(outcome) == [True] * 4
    drawn(outcome)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [({"alone": 2600}, 0), ({"all": 2600}, 1), ({"one-undistilled": 2600}, 2), ({"one-ungated": 2595}, 3)],
)
def test_each_claim_can_fail_alone(changed: Mapping[str, int], fails: int) -> None:
    assert [number for number, kept in enumerate(held(found(changed).outcome(FULL))) if not kept] == [fails]


def test_the_figures_of_the_lines() -> None:
    lines = {line.what: (line.paper, line.ours) for line in found().outcome(FULL).lines}
    assert lines["one branch, ONE: test accuracy"] == ("73.39 %", "73.98% ± 0.04%")
    assert lines["all branches, ONE: test accuracy"] == ("75.37 %", "75.98% ± 0.04%")
    assert lines["3 independent networks together: test accuracy"] == ("–", "76.97% ± 0.04%")


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_its_controls_are_the_runs_of_born_again_networks(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plans = [
        planned(one.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path / name)
        for name, one in (("one", EXPERIMENT), ("ban", ban.EXPERIMENT))
    ]
    for label in ("alone", "alone-2", "alone-3"):
        one, other = ([run.hash for run in plan.labelled[label]] for plan in plans)
        assert one == other
    assert plans[0].labelled["one-undistilled"][0].recipe.method.soft_weight == 0
