"""Mutual learning judged on errors that are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from limbeck.evaluate.noise import Errors
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.without_teacher.dml import COUNTS, EXPERIMENT, MIXED, Found, Group
from limbeck.sweep.planning import planned
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = 10_000


def errors(count: int) -> Errors:
    """Of two seeds."""
    return Errors(torch.stack([torch.arange(IMAGES) < count + 5 * seed for seed in range(2)]))


def found(changed: Mapping[str, int] | None = None, entropies: tuple[float, float, float] = (0.5, 0.8, 0.6)) -> Found:
    counts = {"small": 3000, "big": 2500, "taught": 2700, "mutual-2": 2800, "mutual-3": 2700, "mutual-4": 2600}
    counts |= {"mutual-mean": 2900, "mutual-turns": 2800, "mixed-big": 2400, "mixed-small": 2600}
    counts |= {"together": 2300, "pair": 2500, **(changed or {})}
    groups = {
        label: Group([errors(count)], errors(count), errors(counts["together"]))
        for label, count in counts.items()
        if label.startswith("mutual")
    }
    mixed = [errors(counts["mixed-big"]), errors(counts["mixed-small"])]
    groups[MIXED] = Group(mixed, errors(2500), errors(2300))
    single = {label: errors(counts[label]) for label in ("small", "big", "taught")}
    kinds = {
        kind: (value - 0.01, value + 0.01)
        for kind, value in zip(("small", "mutual-3", "mutual-mean"), entropies, strict=True)
    }
    return Found(single, groups, errors(counts["pair"]), kinds)


def test_as_in_the_paper() -> None:
    outcome = found().outcome(FULL)
    assert held(outcome) == [True] * 10
    drawn(outcome)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"mutual-2": 3000, "mutual-3": 2700}, 0),
        ({"mutual-turns": 3000}, 1),
        ({"mutual-3": 2850, "mutual-mean": 3100}, 2),
        ({"mutual-4": 2800}, 3),
        ({"mutual-mean": 2700}, 4),
        ({"mixed-big": 2550}, 6),
        ({"taught": 2600}, 7),
        ({"together": 2500}, 8),
    ],
)
def test_each_claim_can_fail_alone(changed: Mapping[str, int], fails: int) -> None:
    assert [number for number, kept in enumerate(held(found(changed).outcome(FULL))) if not kept] == [fails]


def test_a_big_peer_that_does_not_help() -> None:
    assert [number for number, kept in enumerate(held(found({"mixed-small": 3000}).outcome(FULL))) if not kept] == [
        5,
        7,
    ]


@pytest.mark.parametrize("entropies", [(0.9, 0.8, 0.6), (0.5, 0.8, 0.8), (0.79, 0.8, 0.6), (0.5, 0.8, 0.78)])
def test_entropy_must_be_clearly_above_both_others(entropies: tuple[float, float, float]) -> None:
    outcome = found(entropies=entropies).outcome(FULL)
    assert held(outcome) == [True] * 9 + [False]
    assert "0.800 nats" in outcome.claims[-1].evidence


def test_the_figures_of_the_lines() -> None:
    lines = {line.what: line.ours for line in found().outcome(FULL).lines}
    assert lines["each of 4 small networks: test accuracy"] == "73.98% ± 0.04%"
    assert lines["small network with a big peer: test accuracy"] == "73.98% ± 0.04%"
    assert lines["entropy on training images, mutual, 3, nats"] == "0.800"


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_what_is_asked_for(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path)
    for count in COUNTS:
        run = plan.labelled[f"mutual-{count}"][0]
        assert len(run.recipe.models) == count
        assert run.recipe.method.delivers == "ensemble"
    assert plan.labelled[MIXED][0].recipe.models["student"].name == "resnet14"
    for taught, big in zip(plan.labelled["taught"], plan.labelled["big"], strict=True):
        assert taught.upstream["teacher"].hash == big.hash
    assert plan.labelled["mutual-turns"][0].recipe.method.updates == "sequential"
