"""Verdicts on runs whose errors are known, and what is asked for; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.models.build import build
from limbeck.reproduce.experiment import Outcome, Scale
from limbeck.reproduce.fitnets2015.mnist import BY_DEPTH, EXPERIMENT, WAYS, size_of
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import planned
from models.counts import shapes
from reproduce.made import wrong_on
from reproduce.verdicts import FULL, QUICK, drawn, held

PAPER = {"teacher": [100], "backprop": [190, 194], "soft": [120, 124], "hints": [60, 62], "joint": [9020, 9020]}
"""Test errors of 10,000 with which every claim but that about depth holds."""
DEEP = {
    "backprop": {2: [200, 210], 4: [300, 320], 8: [9000, 9010]},
    "soft": {2: [150, 160], 4: [200, 210], 8: [9000, 400]},
    "hints": {2: [100, 110], 4: [120, 130], 8: [300, 310]},
}


def outcome_of(
    changes: Mapping[str, Sequence[int]] | None = None,
    deep: Mapping[str, Mapping[int, Sequence[int]]] | None = None,
    scale: Scale = FULL,
) -> Outcome:
    """As in the paper but for the changes."""
    runs = {way: wrong_on(*map(range, counts), images=10_000) for way, counts in {**PAPER, **(changes or {})}.items()}
    for way, by_depth in DEEP.items():
        for depth, counts in {**by_depth, **(deep or {}).get(way, {})}.items():
            runs[f"{way}-{depth}"] = wrong_on(*map(range, counts), images=10_000)
    return EXPERIMENT.judge(Done(runs), scale)


def test_as_in_the_paper() -> None:
    outcome = outcome_of()
    assert held(outcome) == [True] * 5
    drawn(outcome)


def test_the_figures_of_the_lines() -> None:
    lines = outcome_of().lines
    assert [(line.paper, line.ours) for line in lines[:5]] == [
        ("0.55 %", "1.00%"),
        ("1.9 %", "1.92% ± 0.03%"),
        ("0.65 %", "1.22% ± 0.03%"),
        ("0.51 %", "0.61% ± 0.01%"),
        ("fails", "90.20% ± 0.00%"),
    ]
    assert len(lines) == 5 + 3 * 3
    found = {line.what: line.ours for line in lines}
    assert found["25 layers, 20,000 images, hints, then soft targets: test error"] == "3.05% ± 0.07%"
    assert found["7 layers, 20,000 images, backpropagation: test error"] == "2.05% ± 0.07%"
    assert found["13 layers, 20,000 images, soft targets: test error"] == "2.05% ± 0.07%"


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"backprop": [60, 62]}, {0}),
        ({"soft": [62, 64]}, {1}),
        ({"joint": [55, 58]}, {2}),
        ({"teacher": [61]}, {3}),
        ({"hints": [190, 194]}, {0, 1, 3}),
        ({"hints": [110, 160]}, {1, 3}),  # a gain over soft targets within the noise over seeds is none
        ({"hints": [9010, 9020]}, {0, 1, 2, 3}),
    ],
)
def test_each_claim_can_fail(changes: dict[str, list[int]], failing: set[int]) -> None:
    verdict = held(outcome_of(changes))
    assert {number for number, claim in enumerate(verdict) if not claim} == failing


def test_the_noise_a_gain_is_held_against() -> None:
    """Σ d² is one less than the gain, seeds add 1 for each side: 5 > 2 √(4 + 2), but 4 < 2 √(3 + 2)."""
    clear, unclear = outcome_of({"soft": [65, 67]}), outcome_of({"soft": [64, 66]})
    assert clear.claims[1].held
    assert not unclear.claims[1].held
    assert "5 ± 2 fewer errors of 10,000" in clear.claims[1].evidence


@pytest.mark.parametrize(
    ("deep", "holds", "where"),
    [
        ({}, True, "at 25 layers"),
        ({"backprop": {4: [8000, 8000]}}, True, "at 13, 25 layers"),
        ({"backprop": {8: [9000, 300]}}, False, "at none of them"),  # one seed of two is not every seed
        ({"backprop": {8: [5000, 9000]}}, False, "at none of them"),
        ({"backprop": {8: [5001, 9000]}}, True, "at 25 layers"),
        ({"hints": {8: [300, 1000]}}, False, "at none of them"),
        ({"hints": {8: [300, 999]}}, True, "at 25 layers"),
        # One is stalled where the other is too, and the other has learned where the one has too.
        ({"hints": {8: [9000, 9000]}}, False, "at none of them"),
    ],
)
def test_the_depth_that_only_hints_can_train(deep: dict[str, dict[int, list[int]]], holds: bool, where: str) -> None:
    claim = outcome_of(deep=deep).claims[-1]
    assert claim.held is holds
    assert where in claim.evidence


def test_the_evidence_about_depth_has_the_error_rates() -> None:
    assert "7 layers: 2.0% and 1.1%; 13 layers: 3.1% and 1.2%; 25 layers: 90.0% and 3.0%" in (
        outcome_of(deep={"backprop": {2: [200, 202]}, "hints": {2: [110, 112], 8: [300, 302]}}).claims[-1].evidence
    )


def test_the_quick_version_has_fewer_depths_and_says_so() -> None:
    outcome = outcome_of(scale=QUICK)
    assert held(outcome) == [True] * 5
    assert len(outcome.lines) == 5 + 2 * 3
    assert len(outcome.notes) == len(outcome_of().notes) + 1
    assert "6,000 of the 60,000" in outcome.notes[-1]
    drawn(outcome)


def test_one_seed_has_no_spread() -> None:
    outcome = outcome_of({way: counts[:1] for way, counts in PAPER.items()})
    assert [line.ours for line in outcome.lines[:5]] == ["1.00%", "1.90%", "1.20%", "0.60%", "90.20%"]


def asked(scale: Scale) -> dict[str, dict[str, Any]]:
    return {one.label: one.recipe for one in EXPERIMENT.runs(scale)}


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_what_is_judged_is_asked_for(scale: Scale) -> None:
    depths = [f"{way}-{n}" for n in size_of(scale).depths for way in BY_DEPTH]
    assert list(asked(scale)) == ["teacher", *WAYS, *depths]
    assert [one.seeds for one in EXPERIMENT.runs(scale)] == [(0,), *[None] * (len(WAYS) + len(depths))]


def test_ways_differ_in_the_method_alone() -> None:
    found = asked(FULL)
    for labels in (WAYS, *([f"{way}-{n}" for way in BY_DEPTH] for n in (2, 4, 8))):
        recipes = [found[label] for label in labels]
        trains = [{k: v for k, v in recipe["train"].items() if k != "teacher_outputs"} for recipe in recipes]
        assert all(train == trains[0] for train in trains)
        assert all(recipe["data"] == recipes[0]["data"] for recipe in recipes)
        assert all(recipe["models"]["student"] == recipes[0]["models"]["student"] for recipe in recipes)
        assert ["teacher" in recipe["models"] for recipe in recipes] == [False] + [True] * (len(recipes) - 1)
        assert len({repr(recipe["method"]) for recipe in recipes}) == len(recipes)


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_hints_go_to_the_middle_of_the_student_at_every_depth(depth: int) -> None:
    recipe, images = asked(FULL)[f"hints-{depth}"], torch.rand(1, 1, 28, 28)
    arguments = {key: value for key, value in recipe["models"]["student"].items() if key != "name"}
    student = build("fitnet_mnist", arguments, classes=10, channels=1, height=28, width=28)
    teacher = build("maxout_mnist", {}, classes=10, channels=1, height=28, width=28)
    taps = recipe["method"]["taps"]
    assert student.layers == 3 * depth
    assert shapes(student, images, taps["student"]) == [[16, 6, 6]]  # the end of the second group
    assert shapes(teacher, images, taps["teacher"]) == [[48, 4, 4]]
    assert max(parameter.abs().max() for parameter in student.parameters()) <= 0.005


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_recipes_are_valid(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path / "runs", folder=tmp_path)
    images = size_of(scale).images
    assert {len(runs) for label, runs in plan.labelled.items() if label != "teacher"} == {len(scale.seeds)}
    for way in WAYS:
        recipe = plan.labelled[way][0].recipe
        assert recipe.data.subset == (None if images == 60_000 else images)
        assert set(recipe.models) == ({"student"} if way == "backprop" else {"student", "teacher"})
        if way != "backprop":
            (teacher,) = plan.labelled[way][1].before()
            assert teacher.folder == plan.labelled["teacher"][0].folder  # of the one seed there is
