"""Network augmentation judged on errors that are known; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from limbeck.evaluate.noise import Errors
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.netaug2022.curves import EXPERIMENT, LONGER, MORE, WAYS, Found
from limbeck.sweep.planning import planned
from limbeck.train.settings import parse_length
from reproduce.verdicts import FULL, QUICK, drawn, held

IMAGES = 5_000
COUNTS = {
    "tiny-plain": 3800,
    "tiny-netaug": 3600,
    "tiny-more-plain": 3700,
    "tiny-more-netaug": 3500,
    "tiny-longer-plain": 3750,
    "tiny-longer-netaug": 3550,
    "large-plain": 3300,
    "large-netaug": 3400,
}


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
    assert held(outcome) == [True] * 7
    drawn(outcome)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"tiny-plain": 3600}, 0),
        ({"tiny-more-netaug": 3700}, 2),
        ({"tiny-longer-netaug": 3750}, 3),
        ({"large-netaug": 3303}, 5),  # worse, but not clearly
        ({"large-netaug": 3000}, 5),
        ({"tiny-longer-plain": 3590}, 6),
    ],
)
def test_each_claim_can_fail_alone(changed: Mapping[str, int], fails: int) -> None:
    assert failing(found(changed)) == [fails]


def test_every_seed_must_know_its_training_images_better() -> None:
    assert failing(found(tiny_netaug=(0.35, 0.31))) == [1]
    assert failing(found(large_netaug=(0.35, 0.31))) == [4]


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_control_trains_longer_on_the_same_images(scale: Scale, tmp_path: Path, data_root: Path) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path, folder=tmp_path)
    for way in WAYS:
        usual, longer = (plan.labelled[f"{case}-{way}"][0].recipe for case in ("tiny", "tiny-longer"))
        assert (usual.data, usual.method) == (longer.data, longer.method)
        more = plan.labelled[f"tiny-more-{way}"][0].recipe
        assert (more.train, more.method, more.data.subset) == (usual.train, usual.method, MORE * usual.data.subset)
        assert parse_length(longer.train.length)[0] == LONGER * parse_length(usual.train.length)[0]
