"""Network augmentation judged on errors that are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from limbeck.evaluate.noise import Errors
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.netaug2022.curves import EXPERIMENT, LONGER, Found
from limbeck.sweep.planning import planned
from limbeck.train.settings import parse_length
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = 5_000
COUNTS = {"tiny-plain": 3800, "tiny-netaug": 3600, "large-plain": 3300, "large-netaug": 3400, "tiny-longer": 3750}


def errors(count: int) -> Errors:
    """Of two seeds."""
    return Errors(torch.stack([torch.arange(IMAGES) < count + 5 * seed for seed in range(2)]))


def found(changed: Mapping[str, int] | None = None, **trained: Sequence[float]) -> Found:
    counts = {**COUNTS, **(changed or {})}
    known = dict.fromkeys(counts, (0.3, 0.31)) | dict.fromkeys(("tiny-netaug", "large-netaug"), (0.32, 0.33))
    curves = {label: [[(1.0, 0.1), (2.0, 0.2)]] for label in counts}
    known |= {label.replace("_", "-"): shares for label, shares in trained.items()}
    return Found({label: errors(count) for label, count in counts.items()}, known, curves, curves)


def failing(found: Found) -> list[int]:
    return [number for number, kept in enumerate(held(found.outcome(FULL))) if not kept]


def test_as_in_the_paper() -> None:
    outcome = found().outcome(FULL)
    assert held(outcome) == [True] * 5
    drawn(outcome)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"tiny-plain": 3600}, 0),
        ({"large-netaug": 3303}, 3),  # worse, but not clearly
        ({"large-netaug": 3000}, 3),
        ({"tiny-longer": 3590}, 4),
    ],
)
def test_each_claim_can_fail_alone(changed: Mapping[str, int], fails: int) -> None:
    assert failing(found(changed)) == [fails]


def test_every_seed_must_know_its_training_images_better() -> None:
    assert failing(found(tiny_netaug=(0.35, 0.31))) == [1]
    assert failing(found(large_netaug=(0.35, 0.31))) == [2]


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_control_trains_longer_on_the_same_images(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path)
    plain, longer = (plan.labelled[f"tiny-{way}"][0].recipe for way in ("plain", "longer"))
    assert plain.data == longer.data
    assert parse_length(longer.train.length)[0] == LONGER * parse_length(plain.train.length)[0]
