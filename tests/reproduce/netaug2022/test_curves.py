"""Network augmentation judged on errors that are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from limbeck.compare.noise import Errors
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


def found(changed: Mapping[str, int] | None = None, trained: Sequence[float] = (0.32, 0.33)) -> Found:
    counts = {**COUNTS, **(changed or {})}
    known = dict.fromkeys(counts, (0.3, 0.31)) | {"tiny-netaug": trained}
    curves = {label: [[(1.0, 0.1), (2.0, 0.2)]] for label in counts}
    return Found({label: errors(count) for label, count in counts.items()}, known, curves)


def test_as_in_the_paper() -> None:
    outcome = found().outcome(FULL)
    assert held(outcome) == [True] * 4
    drawn(outcome)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [({"tiny-plain": 3600}, 0), ({"large-netaug": 3000}, 2), ({"tiny-longer": 3590}, 3)],
)
def test_each_claim_can_fail_alone(changed: Mapping[str, int], fails: int) -> None:
    assert [number for number, kept in enumerate(held(found(changed).outcome(FULL))) if not kept] == [fails]


def test_every_seed_must_know_its_training_images_better() -> None:
    assert held(found(trained=(0.35, 0.31)).outcome(FULL)) == [True, False, True, True]


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_control_trains_longer_on_the_same_images(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path)
    plain, longer = (plan.labelled[f"tiny-{way}"][0].recipe for way in ("plain", "longer"))
    assert plain.data == longer.data
    assert parse_length(longer.train.length)[0] == LONGER * parse_length(plain.train.length)[0]
