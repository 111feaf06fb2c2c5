"""Be your own teacher judged on errors and times that are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.evaluate.exits import ExitAnswers
from limbeck.evaluate.noise import Errors
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.without_teacher.byot import EXPERIMENT, WAYS, Found
from limbeck.reproduce.without_teacher.exits import Early, heads, together
from limbeck.sweep.planning import planned
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = 10_000
COUNTS = {"alone": 3000, "head-1": 3600, "head-2": 2900, "end": 2700, "other-1": 3800, "together": 2500}
COUNTS |= {"deep": 2750, "deep-end": 2700, "early": 2700}


def errors(count: int) -> Errors:
    """Of two seeds."""
    return Errors(torch.stack([torch.arange(IMAGES) < count + 5 * seed for seed in range(2)]))


def timed(share: float) -> dict[str, Any]:
    """What a network with exits measured; `share` of the whole network's time."""
    point = {"accuracy": 0.7, "mean_ms": share, "flops": 60.0}
    whole = {"accuracy": 0.73, "mean_ms": 1.0, "flops": 100}
    return {"network": whole, "early": point, "sweep": [point, whole], "timing": {"device": "cpu", "threads": 3}}


def found(changed: Mapping[str, int] | None = None, times: Sequence[float] = (0.6, 0.7)) -> Found:
    counts = {**COUNTS, **(changed or {})}
    own = [errors(counts[label]) for label in ("head-1", "head-2", "end")]
    others = [errors(counts["other-1"]), errors(3000), errors(2800)]
    return Found(
        alone=errors(counts["alone"]),
        heads=dict(zip(WAYS, (own, others), strict=True)),
        together={"byot": errors(counts["together"]), "supervised-heads": errors(2600)},
        early=Early(own[-1], errors(4000), [timed(1.2)]),
        deep=errors(counts["deep"]),
        early_deep=Early(errors(counts["deep-end"]), errors(counts["early"]), [timed(share) for share in times]),
    )


def test_as_in_the_paper() -> None:
    outcome = found().outcome(FULL)
    assert held(outcome) == [True] * 7
    drawn(outcome)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"alone": 2700, "head-2": 2700}, 0),
        ({"together": 2700}, 1),
        ({"head-2": 3200}, 2),
        ({"other-1": 3600}, 3),
        ({"deep-end": 2500}, 4),
        ({"deep": 2500}, 5),
    ],
)
def test_each_claim_can_fail_alone(changed: Mapping[str, int], fails: int) -> None:
    assert [number for number, kept in enumerate(held(found(changed).outcome(FULL))) if not kept] == [fails]


def test_every_seed_must_be_faster() -> None:
    outcome = found(times=(0.6, 0.97)).outcome(FULL)
    assert held(outcome) == [True] * 6 + [False]
    assert outcome.claims[-1].evidence.startswith("60%, 97% of the network's")


def test_exits_on_the_hundred_classes_are_reported_only() -> None:
    lines = {line.what: line.ours for line in found().outcome(FULL).lines}
    assert lines["early exits, 100 classes: mean time of one image, of the network's"] == "120%"
    assert lines["early exits, CIFAR-10: mean time of one image, of the network's"] == "65%"


def test_all_classifiers_together_are_the_mean_of_their_logits() -> None:
    """Two of three are right about the first image, but one is very sure of another class; the second is clear."""
    logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 9.0]], [[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]]])
    answers = ExitAnswers(logits, torch.tensor([0, 1]), torch.tensor([7, 3]), torch.ones(2, logits.shape[1] - 1))
    assert together([answers]).counts == [1]
    assert [one.counts for one in heads([answers])] == [[0], [0], [2]]


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_deep_supervision_has_the_same_heads_and_no_teacher(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path)
    own, labels = (plan.labelled[label][0].recipe for label in WAYS)
    assert (labels.method.alpha, labels.method.feature_weight) == (0, 0)
    assert own.method.alpha > 0
    assert own.data == labels.data
