"""Verdicts on runs whose errors and curves are known, and what is asked for; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from limbeck.recipe.context import Context
from limbeck.recipe.networks import join
from limbeck.reproduce.experiment import Outcome, Scale
from limbeck.reproduce.fsp2017.cifar10 import EXPERIMENT, LABELS, curve
from limbeck.reproduce.fsp2017.setting import size_of
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import planned
from reproduce.made import Made, wrong_on
from reproduce.verdicts import FULL, QUICK, drawn, held

SCALE = Scale((0, 1, 2), quick=False)
IMAGES = 10_000
COUNTS = {
    "teacher": [850],
    "full": [900, 915, 930],
    "short": [1200, 1210, 1220],
    "longer": [1000, 1010, 1020],
    "flow": [900, 910, 920],
    "shuffled": [900, 910, 920],
    "small": [1300, 1310, 1320],
    "small-hints": [1290, 1300, 1310],
    "small-flow": [1280, 1290, 1300],
}
SLOW = (0.60, 0.80, 0.85, 0.88)
"""Accuracies on the held-out images after each quarter of the steps on labels: of a student without flows."""
FAST = (0.80, 0.89, 0.90, 0.91)


def lines(stage: str, accuracies: Sequence[float], *, after: int = 0) -> list[dict[str, Any]]:
    """A line of terms and one of the held-out images every 25 steps."""
    found: list[dict[str, Any]] = []
    for number, accuracy in enumerate(accuracies, start=1):
        place = {"step": after + 25 * number, "stage": stage}
        found += [{**place, "terms": {stage: 1.0}}, {**place, "validation": {"accuracy": accuracy}}]
    return found


def flows_then(accuracies: Sequence[float]) -> list[dict[str, Any]]:
    """During the flows there is nothing to see in the accuracy; they take 100 steps."""
    return [*lines("flow", (0.1, 0.1, 0.1, 0.95)), *lines("task", accuracies, after=100)]


def shared(counts: Sequence[int]) -> list[range]:
    """Every seed is wrong about the same images."""
    return [range(count) for count in counts]


def apart(counts: Sequence[int]) -> list[range]:
    """No two seeds are wrong about one image, so that most of three are right about all."""
    return [range(2000 * number, 2000 * number + count) for number, count in enumerate(counts)]


def outcome_of(
    counts: Mapping[str, Sequence[int]] | None = None,
    *,
    wrong: Mapping[str, Sequence[Sequence[int]]] | None = None,
    scale: Scale = SCALE,
) -> Outcome:
    seeds = len(scale.seeds)
    every = {label: several[:seeds] for label, several in {**COUNTS, **(counts or {})}.items()}
    images = {label: shared(several) for label, several in every.items()}
    images["shuffled"] = apart(every["shuffled"])
    images.update(wrong or {})
    curves = {
        "full": [lines("main", SLOW)] * seeds,
        "short": [lines("main", SLOW)] * seeds,
        "flow": [flows_then(FAST)] * seeds,
    }
    runs: dict[str, tuple[Made, ...]] = {}
    for label, several in images.items():
        given = curves.get(label, [[]] * seeds)
        made = (wrong_on(one, images=IMAGES, curves=c)[0] for one, c in zip(several, given, strict=False))
        runs[label] = tuple(made)
    return EXPERIMENT.judge(Done(runs), scale)


def test_as_in_the_paper() -> None:
    outcome = outcome_of()
    assert held(outcome) == [True] * 4
    drawn(outcome)


def test_the_figures_of_the_lines() -> None:
    found = {line.what: (line.paper, line.ours) for line in outcome_of().lines}
    assert found["26 layers, the teacher: test accuracy"] == ("–", "91.50%")
    assert found["26 layers, full training: test accuracy"] == ("91.75 %", "90.85% ± 0.15%")
    assert found["26 layers, two thirds of it: test accuracy"] == ("–", "89.90% ± 0.10%")
    assert found["26 layers, a third of it: test accuracy"] == ("–", "87.90% ± 0.10%")
    assert found["26 layers, flows, then a third of it: test accuracy"] == ("92.14 %", "90.90% ± 0.10%")
    assert found["8 layers, full training: test accuracy"] == ("–", "86.90% ± 0.10%")
    assert found["8 layers, FitNets: test accuracy"] == ("–", "87.00% ± 0.10%")
    assert found["8 layers, flows: test accuracy"] == ("–", "87.10% ± 0.10%")
    # Of members that share their errors most are wrong about 910 or 915 images; of members that do not, about none.
    assert found["ensemble of 3, 26 layers, full training: test accuracy"] == ("93.48 %", "90.85%")
    assert found["ensemble of 3, 26 layers, flows, then a third of it: test accuracy"] == ("–", "90.90%")
    assert found["ensemble of 3, the same, the teacher's channels shuffled: test accuracy"] == ("–", "100.00%")
    assert len(found) == len(LABELS) + 3


@pytest.mark.parametrize(
    ("counts", "failing"),
    [
        ({"flow": [1300, 1310, 1320]}, [0, 1, 2]),
        ({"flow": [1200, 1210, 1220]}, [0, 1, 2]),  # equal to the control with as many steps on labels
        ({"flow": [1185, 1200, 1210]}, [0, 1, 2]),  # better by 12 of 10,000
        ({"flow": [700, 1100, 1500]}, [0, 1, 2]),  # better than some by a hundred, within the noise over seeds
        ({"flow": [1000, 1010, 1020]}, [1, 2]),  # as good as more steps, and worse than all of them
        ({"longer": [900, 910, 920]}, [2]),
        ({"full": [700, 710, 720]}, [1]),
        ({"full": [900, 900, 900]}, []),  # flows are worse by ten images: not clearly
    ],
)
def test_flows_that_are_not_worth_it(counts: dict[str, list[int]], failing: list[int]) -> None:
    outcome = outcome_of(counts)
    assert [number for number, kept in enumerate(held(outcome)) if not kept] == failing
    drawn(outcome)


def test_the_evidence_that_it_is_better() -> None:
    """Σ d² is 300 less some at the ends of the ranges, where not all seeds err; seeds add 2 · 10² / 3: 19² in all."""
    evidence = outcome_of().claims[0].evidence
    assert evidence.startswith("90.90% ± 0.10% against 87.90% ± 0.10%: 300 ± 19 fewer errors of 10,000")


def test_an_ensemble_of_shuffled_students_that_is_worse() -> None:
    worse = {"shuffled": shared([900, 910, 920]), "flow": apart([900, 910, 920])}
    assert held(outcome_of(wrong=worse)) == [True, True, True, False]
    slightly = {"shuffled": shared([912, 912, 912]), "flow": shared([909, 909, 909])}  # 3 < 2 √3: within the noise
    assert held(outcome_of(wrong=slightly)) == [True] * 4
    clearly = {"shuffled": shared([915, 915, 915]), "flow": shared([909, 909, 909])}  # 6 > 2 √6
    assert held(outcome_of(wrong=clearly)) == [True, True, True, False]


def test_one_seed_is_no_ensemble() -> None:
    outcome = outcome_of(scale=Scale((0,), quick=False))
    assert held(outcome) == [True] * 3
    assert outcome.lines[1].ours == "91.00%"


def test_curves_count_steps_within_a_stage() -> None:
    (one,) = wrong_on([], curves=flows_then((0.7, 0.8)))
    assert curve(one, "task") == [(25, 0.7), (50, 0.8)]
    (alone,) = wrong_on([], curves=lines("main", (0.3, 0.6, 0.7)))
    assert curve(alone, "main") == [(25, 0.3), (50, 0.6), (75, 0.7)]


def asked(scale: Scale) -> dict[str, dict[str, Any]]:
    return {one.label: one.recipe for one in EXPERIMENT.runs(scale)}


def epochs(recipe: dict[str, Any]) -> int:
    number, unit = recipe["train"]["length"].split()
    assert unit == "epochs"
    return int(number)


def on_labels(recipe: dict[str, Any]) -> float:
    """Epochs that are left for the labels."""
    method = recipe["method"]
    first = 0 if method == "supervised" else method.get("flow_share", method.get("hint_share"))
    return epochs(recipe) * (1 - first)


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_what_is_compared_has_as_many_steps_on_labels(scale: Scale) -> None:
    found, size = asked(scale), size_of(scale)
    assert list(found) == list(LABELS)
    third = {on_labels(found[label]) for label in ("short", "flow", "shuffled")}
    whole = {on_labels(found[label]) for label in ("teacher", "full", "small", "small-hints", "small-flow")}
    assert (third, whole) == ({size.third}, {3 * size.third})
    assert epochs(found["longer"]) == epochs(found["flow"])


def test_what_is_compared_differs_in_the_method_alone() -> None:
    found = asked(FULL)
    assert found["flow"]["method"] | {"shuffle": True} == found["shuffled"]["method"]
    for labels in (("full", "short", "longer", "flow", "shuffled"), ("small", "small-hints", "small-flow")):
        recipes = [found[label] for label in labels]
        trains = [{k: v for k, v in recipe["train"].items() if k != "length"} for recipe in recipes]
        assert all(train == trains[0] for train in trains)
        assert all(recipe["data"] == recipes[0]["data"] for recipe in recipes)
        assert len({repr(recipe["models"]["student"]) for recipe in recipes}) == 1


@pytest.mark.parametrize("scale", [Scale((0, 1), quick=False), Scale((3, 4), quick=True)], ids=["full", "quick"])
def test_recipes_are_valid_and_all_students_have_one_teacher(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path / "runs", folder=tmp_path)
    (teacher,) = plan.labelled["teacher"]
    for label in ("flow", "shuffled", "small-hints", "small-flow"):
        assert len(plan.labelled[label]) == len(scale.seeds)
        for run in plan.labelled[label]:
            assert [before.folder for before in run.before()] == [teacher.folder]
            assert run.recipe.data.subset == size_of(scale).cifar10


def test_no_student_begins_with_the_weights_of_its_teacher(tmp_path: Path, data_root: Path) -> None:
    """Flows compare channel by channel, so they would be aligned from the start."""
    plan = planned(EXPERIMENT.runs(QUICK), seeds=QUICK.seeds, root=tmp_path / "runs", folder=tmp_path)
    (teacher,) = plan.labelled["teacher"]
    dataset = Context().dataset(teacher)
    students = [run for label in ("flow", "shuffled", "full") for run in plan.labelled[label]]
    given = [join(run, "student", dataset, frozen=False).network.state_dict() for run in (teacher, *students)]
    first = next(name for name, value in given[0].items() if value.ndim == 4)
    assert len({float(weights[first].sum()) for weights in given}) == 1 + len(QUICK.seeds)
