"""Verdicts on runs whose errors are known, and what is asked for; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from limbeck.reproduce.experiment import Outcome, Scale
from limbeck.reproduce.fsp2017.transfer import EXPERIMENT, students_of
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import planned
from reproduce.made import wrong_on
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = {"cifar10": 10_000, "hundred": 5_000}
COUNTS = {
    "teacher-cifar10": [900],
    "teacher-hundred": [2000],
    "alone-cifar10": [1400, 1420],
    "longer-cifar10": [1300, 1320],
    "flow-cifar10": [1200, 1220],
    "tuned-cifar10": [1000, 1020],
    "alone-hundred": [3000, 3020],
    "longer-hundred": [2800, 2820],
    "flow-hundred": [2600, 2620],
    "tuned-hundred": [2400, 2420],
}


def outcome_of(counts: Mapping[str, Sequence[int]] | None = None, scale: Scale = FULL) -> Outcome:
    runs = {
        label: wrong_on(*map(range, several), images=IMAGES[label.partition("-")[2]])
        for label, several in {**COUNTS, **(counts or {})}.items()
    }
    return EXPERIMENT.judge(Done(runs), scale)


def test_as_in_the_paper() -> None:
    outcome = outcome_of()
    assert held(outcome) == [True] * 4
    drawn(outcome)


def test_the_figures_of_the_lines() -> None:
    found = {line.what: line.ours for line in outcome_of().lines}
    assert found == {
        "teacher, 32 layers, CIFAR-10: test accuracy": "91.00%",
        "teacher, 32 layers, 100 classes: test accuracy": "60.00%",
        "CIFAR-10, random weights: test accuracy": "85.90% ± 0.14%",
        "CIFAR-10, random weights, twice as many steps: test accuracy": "86.90% ± 0.14%",
        "CIFAR-10, flows first: test accuracy": "87.90% ± 0.14%",
        "CIFAR-10, the teacher, fine-tuned: test accuracy": "89.90% ± 0.14%",
        "100 classes, random weights: test accuracy": "39.80% ± 0.28%",
        "100 classes, random weights, twice as many steps: test accuracy": "43.80% ± 0.28%",
        "100 classes, flows first: test accuracy": "47.80% ± 0.28%",
        "100 classes, the teacher, fine-tuned: test accuracy": "51.80% ± 0.28%",
    }
    assert all(line.paper == "–" for line in outcome_of().lines)


@pytest.mark.parametrize(
    ("counts", "failing"),
    [
        ({"flow-hundred": [3000, 3020]}, [0, 1]),
        ({"flow-hundred": [2500, 3400]}, [0, 1]),  # within the noise over seeds
        ({"flow-hundred": [2800, 2820]}, [1]),
        ({"flow-cifar10": [1500, 1520]}, [2, 3]),
        ({"alone-cifar10": [1205, 1225]}, [2]),
        ({"longer-cifar10": [1205, 1225]}, [3]),
    ],
)
def test_each_claim_can_fail_alone(counts: dict[str, list[int]], failing: list[int]) -> None:
    claims = outcome_of(counts).claims
    assert [number for number, claim in enumerate(claims) if not claim.held] == failing
    assert [claim.text.partition(":")[0] for claim in claims] == [
        *["From CIFAR-10 to 100 classes"] * 2,
        *["From 100 classes to CIFAR-10"] * 2,
    ]


def test_the_evidence_is_on_the_student_s_images() -> None:
    to_hundred, _, to_cifar10, _ = (claim.evidence for claim in outcome_of().claims)
    assert to_hundred.startswith("47.80% ± 0.28% against 39.80% ± 0.28%: 400 ± ")
    assert "fewer errors of 5,000" in to_hundred
    assert to_cifar10.startswith("87.90% ± 0.14% against 85.90% ± 0.14%: 200 ± ")
    assert "fewer errors of 10,000" in to_cifar10


def test_a_fine_tuned_teacher_is_shown_and_judges_nothing() -> None:
    assert held(outcome_of({"tuned-hundred": [100, 120], "tuned-cifar10": [9000, 9000]})) == [True] * 4


def asked(scale: Scale) -> dict[str, dict[str, Any]]:
    return {one.label: one.recipe for one in EXPERIMENT.runs(scale)}


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_every_student_has_as_many_steps_on_labels(scale: Scale) -> None:
    found, size = asked(scale), students_of(scale)
    assert set(found) == set(COUNTS)
    for data in IMAGES:
        alone, longer, flow, tuned = (found[f"{way}-{data}"] for way in ("alone", "longer", "flow", "tuned"))
        lengths = [int(recipe["train"]["length"].removesuffix(" epochs")) for recipe in (alone, longer, flow, tuned)]
        assert lengths == [size.third, 2 * size.third, 2 * size.third, size.third]
        assert longer | {"name": alone["name"], "train": alone["train"]} == alone
        assert flow["method"] == {"name": "fsp", "flow_share": 0.5}
        assert alone["models"]["student"] == flow["models"]["student"] == {"name": "resnet20"}
        assert alone["data"] == flow["data"] == tuned["data"]
        assert alone["train"]["optimizer"] == flow["train"]["optimizer"]


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_the_teacher_is_that_of_the_other_data(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path / "runs", folder=tmp_path)
    for target, source in (("cifar10", "hundred"), ("hundred", "cifar10")):
        (teacher,) = plan.labelled[f"teacher-{source}"]
        assert teacher.seed not in scale.seeds
        assert teacher.recipe.data.subset > plan.labelled[f"alone-{source}"][0].recipe.data.subset
        assert teacher.recipe.data.name == plan.labelled[f"alone-{source}"][0].recipe.data.name
        for way, role in (("flow", "teacher"), ("tuned", "student")):
            runs = plan.labelled[f"{way}-{target}"]
            assert len(runs) == len(scale.seeds)
            for run in runs:
                assert {key: before.folder for key, before in run.upstream.items()} == {role: teacher.folder}
                assert run.recipe.data == plan.labelled[f"alone-{target}"][0].recipe.data
        assert not plan.labelled[f"alone-{target}"][0].upstream
