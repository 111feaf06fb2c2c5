"""Born-again networks judged on runs whose errors are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from limbeck.reproduce.experiment import Outcome, Scale
from limbeck.reproduce.without_teacher.ban import EXPERIMENT
from limbeck.reproduce.without_teacher.setting import INDEPENDENT
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import planned
from reproduce.made import Made, wrong_on
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = 10_000
COUNTS = {"alone": 3000, "ban-1": 2800, "ban-2": 2600, "ban-3": 2400, "ban-l": 2850, "cwtm": 2880, "dkpp": 2870}


def outcome_of(
    counts: Mapping[str, int] | None = None, *, born_start: int = 5000, apart: bool = False, scale: Scale = FULL
) -> Outcome:
    """Generations 2 and 3 err on other images than generation 1, so that their mean is right about most."""
    every = {**COUNTS, **(counts or {})}
    starts = {"ban-2": born_start, "ban-3": born_start // 2}
    starts |= {"alone-2": 3100, "alone-3": 6200} if apart else {}  # no image on which two of them err
    every |= {"alone-2": every["alone"], "alone-3": every["alone"]}
    runs: dict[str, tuple[Made, ...]] = {}
    for label, count in every.items():
        start = starts.get(label, 0)
        seeds: Sequence[range] = [range(start, start + count + 5 * seed) for seed in scale.seeds]
        runs[label] = wrong_on(*seeds, images=IMAGES)
    return EXPERIMENT.judge(Done(runs), scale)


def test_as_hoped() -> None:
    outcome = outcome_of()
    assert held(outcome) == [True] * 9
    drawn(outcome)


@pytest.mark.parametrize(
    ("counts", "fails"),
    [
        ({"ban-1": 3000, "ban-l": 3000}, 0),
        ({"ban-2": 3000}, 1),
        ({"ban-3": 3000}, 2),
        ({"ban-l": 2650}, 7),
        ({"dkpp": 3100}, 8),
    ],
)
def test_each_claim_can_fail_alone(counts: Mapping[str, int], fails: int) -> None:
    assert [number for number, found in enumerate(held(outcome_of(counts))) if not found] == [fails]


def test_labels_weighted_by_confidence_are_promised_nothing() -> None:
    assert all(held(outcome_of({"cwtm": 4000})))


def test_what_a_further_generation_gains_is_a_line() -> None:
    (line,) = [one for one in outcome_of({"ban-2": 2700}, born_start=0).lines if one.what.startswith("generation 2 ag")]
    assert line.ours.startswith("100 ± 10 fewer errors of 10,000")


def test_an_ensemble_that_errs_as_its_members_do_is_no_better() -> None:
    assert [number for number, kept in enumerate(held(outcome_of(born_start=0))) if not kept] == [4, 5]


def test_independent_networks_that_complete_each_other_better_are_said() -> None:
    outcome = outcome_of(apart=True)
    assert [number for number, kept in enumerate(held(outcome)) if not kept] == [6]
    (line,) = [one for one in outcome.lines if "independent" in one.what]
    assert line.ours == "100.00% ± 0.00%"


def test_the_figures_of_the_lines() -> None:
    found = {line.what: (line.paper, line.ours) for line in outcome_of().lines}
    assert found["teacher, labels only (generation 0): test accuracy"] == ("81.75 %", "69.97% ± 0.03%")
    assert found["generation 3: test accuracy"] == ("83.41 %", "75.98% ± 0.04%")
    assert found["ensemble of generations 1 to 3: test accuracy"][0] == "84.32 %"


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_what_is_asked_for_shares_its_runs(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path)
    alone, third = plan.labelled["alone"], plan.labelled["ban-3"]
    assert [run.seed for run in plan.labelled["alone-3"]] == [seed + 2 * INDEPENDENT for seed in scale.seeds]
    for seed, last in enumerate(third):
        chain = [run.hash for run in (*last.before(), last)]
        assert chain == [alone[seed].hash, *(plan.labelled[f"ban-{k}"][seed].hash for k in (1, 2, 3))]
        assert plan.labelled["dkpp"][seed].upstream["teacher"].hash == alone[seed].hash
    assert len(plan.ordered) == 9 * len(scale.seeds)
    for run in plan.ordered:
        assert plan.references[run.hash].find().hash == run.hash
