from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from limbeck.reproduce.experiment import Outcome
from limbeck.reproduce.hinton2015.specialists import SpecialistsExperiment
from limbeck.reproduce.hinton2015.specialists_setting import CLUSTERS, asked, label, size_of
from limbeck.sweep.finished import Done
from reproduce.made import CLASSES, Made, wrong_on
from reproduce.verdicts import FULL, QUICK, drawn, held

WRONG = range(0, 1000, 10)
"""Images of class 0 that the generalist takes for class 1, which the first cluster has too."""


class Stated:
    """As much of a run's folder as the judge reads."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes

    def read(self, name: str, *, keys: Sequence[str]) -> dict[str, Any]:
        assert (name, list(keys)) == ("network.json", ["classes"])
        return {"classes": self.classes}


class Told(Made):
    """A finished run whose folder says which classes its network has."""

    def __init__(self, classes: Sequence[str], **rest: Any) -> None:
        super().__init__({}, **rest)
        object.__setattr__(self, "_classes", list(classes))

    @property
    def folder(self) -> Any:
        return Stated(self._classes)


def specialist(cluster: int, unsure: Sequence[int]) -> Told:
    """Knows two classes; on some images it cannot say anything."""
    own = [2 * cluster, 2 * cluster + 1]
    labels = torch.arange(1000) % CLASSES
    place = torch.full((CLASSES,), 2)
    place[own] = torch.arange(2)
    logits = 6.0 * torch.nn.functional.one_hot(place[labels], 3).float()
    logits[list(unsure)] = 0.0
    return Told([*map(str, own), "(any other)"], logits=logits)


def outcome_of(*, first_unsure: Sequence[int], second_unsure: Sequence[int], one: int) -> Outcome:
    labels = torch.arange(1000) % CLASSES
    answers = labels.clone()
    answers[list(WRONG)] = 1
    general = Told([str(c) for c in range(CLASSES)], logits=3.0 * torch.nn.functional.one_hot(answers, CLASSES).float())
    runs: dict[str, tuple[Made, ...]] = {"generalist": (general,)}
    for number, unsure in enumerate((first_unsure, second_unsure)):
        runs |= {label(number, cluster): (specialist(cluster, unsure),) for cluster in range(CLUSTERS)}
    runs |= {"longer": wrong_on(range(90)), "one": wrong_on(range(one), range(one)), "copy": wrong_on(range(80))}
    return SpecialistsExperiment().judge(Done(runs), QUICK)


def test_each_round_of_specialists_corrects_more() -> None:
    outcome = outcome_of(first_unsure=WRONG[50:], second_unsure=(), one=40)
    assert [line.ours for line in outcome.lines[:3]] == ["100", "50", "0"]
    assert outcome.lines[3].ours == "11.1%"  # from 900 right ones to 1000
    assert held(outcome) == [True] * 4
    assert "100, 50, 0" in outcome.claims[1].evidence
    drawn(outcome)


def test_a_round_that_adds_nothing_and_a_student_that_learns_nothing() -> None:
    outcome = outcome_of(first_unsure=WRONG[50:], second_unsure=WRONG[50:], one=98)
    assert held(outcome) == [True, False, True, False]


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_every_class_is_known_to_one_specialist_of_each_round(scale: Any) -> None:
    size = size_of(scale)
    recipes = {one.label: one.recipe for one in asked(size)}
    clusters = [recipes[label(r, c)]["data"]["special"]["classes"] for r in range(size.rounds) for c in range(CLUSTERS)]
    assert {one["seed"] for one in clusters} == set(range(size.rounds))
    assert all(one["of"] * one["size"] == 100 for one in clusters)
    assert len(recipes["one"]["models"]["teacher"]["specialists"]) == len(clusters)


def test_the_generalist_that_is_trained_on_makes_as_many_steps_as_a_specialist() -> None:
    recipes = {one.label: one.recipe for one in asked(size_of(FULL))}
    assert recipes["longer"]["train"] == recipes[label(0, 0)]["train"]
    assert recipes["longer"]["models"]["student"] == {"from": "generalist.yaml"}
