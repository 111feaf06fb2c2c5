from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.making import little_part
from limbeck.data.dataset import Dataset
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.results import Entry, Results

IMAGES = 2000


def right(accuracy: float) -> Predictions:
    """Answers of a network to images of class 0, of which the last ones are wrong."""
    wrong = torch.arange(IMAGES) >= accuracy * IMAGES
    logits = torch.stack((~wrong, wrong), dim=1).float()
    return Predictions(logits, torch.zeros(IMAGES, dtype=torch.int64), torch.arange(IMAGES))


def entry(role: Any, accuracy: float, seed: int = 0, *, network: str = "cnn", size: int = 5, **metrics: float) -> Entry:
    cost = {"parameters": size, "flops": 10 * size}
    return Entry(role, network, seed, Path("runs/x"), {"accuracy": accuracy, **metrics}, {}, cost, right(accuracy))


def results(*entries: Entry) -> Results:
    part = little_part(4, channels=1, classes=2)
    return Results("title", {}, ("a", "b"), Dataset(part, None, part, ("a", "b"), (0.5,), (0.5,)), entries)


def test_rows_are_in_the_table_s_order_with_mean_and_spread() -> None:
    found = results(
        entry("distilled", 0.9, 0, agreement=0.8),
        entry("distilled", 0.7, 1, agreement=0.6),
        entry("alone", 0.5),
        entry("teacher", 0.95),
    ).rows()
    assert [row.role for row in found] == ["teacher", "alone", "distilled"]
    assert [row.label for row in found] == ["teacher", "student alone", "student distilled"]
    assert found[2].mean == pytest.approx({"accuracy": 0.8, "agreement": 0.7})
    assert found[2].std == pytest.approx({"accuracy": 0.02**0.5, "agreement": 0.02**0.5})
    assert found[2].count == 2
    assert found[0].std == {}


@pytest.mark.parametrize(
    ("alone", "distilled", "words"),
    [
        (
            [0.5],
            [0.75],
            "helped: the student reaches 75.00% under the teacher and 50.00% alone (+25.00 points, with one seed",
        ),
        (
            [0.75],
            [0.5],
            "Distilling did harm: the student reaches 50.00% under the teacher and 75.00% alone (-25.00 points",
        ),
        ([0.5], [0.5], "No clear gain from distilling"),
        ([0.5], [0.501], "No clear gain from distilling"),  # two images
        ([0.5], [0.499], "No clear gain from distilling"),
        ([0.5, 0.5], [0.6, 0.61], "Distilling helped"),
        ([0.6, 0.61], [0.5, 0.5], "Distilling did harm"),
        ([0.5, 0.5], [0.6, 0.7], "No clear gain from distilling"),  # two seeds say little of their spread
        ([0.5, 0.5, 0.5, 0.5], [0.6, 0.7, 0.65, 0.6], "Distilling helped"),
        ([0.5, 0.5], [0.9, 0.4], "No clear gain from distilling"),
        ([0.5, 0.5], [0.6, 0.7], "over 2 seeds"),
    ],
)
def test_the_verdict_asks_for_a_clear_difference(alone: list[float], distilled: list[float], words: str) -> None:
    students = [entry("alone", a, seed) for seed, a in enumerate(alone)]
    students += [entry("distilled", d, seed) for seed, d in enumerate(distilled)]
    assert words in results(entry("teacher", 0.95), *students).verdict()
    assert "the teacher reaches 95.00%" in results(entry("teacher", 0.95), *students).verdict()


def test_without_a_baseline_nothing_is_claimed() -> None:
    assert (
        "was not compared with one trained alone" in results(entry("teacher", 0.9), entry("distilled", 0.8)).verdict()
    )


def test_without_a_teacher_there_is_just_a_network() -> None:
    assert results(entry("trained", 0.8)).verdict() == "The trained network reaches 80.00% on the test split."


def test_without_a_test_split_it_says_where_figures_come_from() -> None:
    found = results(entry("trained", 0.8))
    held_out = replace(found, dataset=replace(found.dataset, validation=found.dataset.test, test=None))
    assert (found.split, held_out.split) == ("test", "validation")
    assert held_out.verdict() == "The trained network reaches 80.00% on the validation split."


def test_seeds_that_deliver_different_networks_are_no_gain_of_the_student() -> None:
    own = [entry("trained", 0.8, 0), entry("trained", 0.9, 1, network="mlp", size=7)]
    found = results(entry("alone", 0.5, 0), entry("alone", 0.5, 1), *own)
    row = found.rows()[-1]
    assert (row.network, row.cost["parameters"]) == ("cnn or mlp", 7)
    assert found.verdict() == (
        "Another network than the student: 85.00% ± 7.07% by cnn or mlp, with up to 70 FLOPs an image is delivered, "
        "and the student alone has 50.00% ± 0.00% with 50."
    )
