"""Verdicts on runs whose errors are known, and what is asked for; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.errors import RecipeError
from limbeck.data.augment import Augment
from limbeck.data.dataset import Dataset
from limbeck.data.loader import Loader
from limbeck.data.parts import InMemory
from limbeck.models.build import build
from limbeck.reproduce.experiment import Claim, Outcome, Scale
from limbeck.reproduce.netaug2022.regularisers import EXPERIMENT, NAMED, OTHERS, PLAIN, WAYS
from limbeck.reproduce.netaug2022.setting import AUGMENT, NETWORKS, size_of
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked, planned
from reproduce.made import CLASSES, Made
from reproduce.verdicts import FULL, QUICK, drawn

IMAGES, TRAINED = 5000, 100
COUNTS = {"tiny-plain": [4000, 4010], "large-plain": [3000, 3010]}
COUNTS |= {f"tiny-{way}": [4200, 4210] for way in OTHERS}
COUNTS |= {f"large-{way}": [2800, 2810] for way in OTHERS}
FORGOTTEN = {"tiny": [60, 58], "large": [5, 7]}
"""Of a hundred training images, those that the plainly trained networks get wrong."""
CHANGED = {PLAIN: (0.0, 0.0), "dropout": (0.0, 0.0), "dropblock": (0.0, 0.0), "no-flip": (0.3, 0.7)}
"""Of the images that training sees, the share that looks otherwise than with crops and flips; the others: most."""


class Forgets(nn.Module):
    """Reads an image's number from its first pixel, and is wrong about the first few."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, images: Tensor) -> Tensor:
        number = (images[:, 0, 0, 0] * 255).round().long()
        return 3.0 * nn.functional.one_hot((number + (number < self.count)) % CLASSES, CLASSES).float()


def seen_in_training() -> Dataset:
    numbers = torch.arange(TRAINED)
    pixels = numbers.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2).contiguous()
    part = InMemory(pixels, numbers % CLASSES, numbers)
    return Dataset(part, None, None, tuple("abcdefghij"), (0.5,) * 3, (0.2,) * 3)


def outcome_of(
    counts: Mapping[str, Sequence[int]] | None = None,
    *,
    forgotten: Mapping[str, Sequence[int]] | None = None,
    scale: Scale = FULL,
) -> Outcome:
    data, lost = seen_in_training(), {**FORGOTTEN, **(forgotten or {})}
    runs = {}
    for label, several in {**COUNTS, **(counts or {})}.items():
        network = label.partition("-")[0]
        runs[label] = tuple(
            Made({"last": range(wrong)}, images=IMAGES, network=Forgets(lost[network][seed]), data=data)
            for seed, wrong in enumerate(several[: len(scale.seeds)])
        )
    return EXPERIMENT.judge(Done(runs), scale)


def failing(outcome: Outcome) -> list[str]:
    return [claim.text for claim in outcome.claims if not claim.held]


def claim_of(outcome: Outcome, text: str) -> Claim:
    (found,) = [claim for claim in outcome.claims if text in claim.text]
    return found


def test_as_in_the_paper() -> None:
    outcome = outcome_of()
    assert failing(outcome) == []
    assert len(outcome.claims) == 2 * len(NAMED) + 2 == 8
    drawn(outcome)


def test_one_seed_can_be_judged() -> None:
    outcome = outcome_of(scale=Scale((0,), quick=True))
    assert failing(outcome) == []
    drawn(outcome)


def test_the_figures_of_the_lines() -> None:
    """Noise: 200 of 5,000 images differ, less 200² / 5,000; two seeds of either side add 2 · 50 / 2: 15.6 images."""
    found = {line.what.partition(":")[0]: (line.paper, line.ours) for line in outcome_of().lines}
    assert found["tiny network, no regulariser"] == ("52.4 %", "19.90%; 41.0%")
    assert found["large network, no regulariser"] == ("76.8 %", "39.90%; 94.0%")
    assert found["tiny network, mixup"] == ("51.7 % (-0.7)", "15.90% (-4.00 ± 0.31); 41.0%")
    assert found["large network, DropBlock"] == ("78.4 % (+1.6)", "43.90% (+4.00 ± 0.31); 94.0%")
    assert found["large network, cutout"] == ("–", "43.90% (+4.00 ± 0.31); 94.0%")
    assert len(found) == len(NETWORKS) * len(WAYS)


@pytest.mark.parametrize("way", NAMED)
@pytest.mark.parametrize(
    ("network", "counts", "text"),
    [
        ("tiny", [4005, 4015], "costs the tiny network accuracy"),  # by 5 of 5,000
        ("tiny", [3800, 3810], "costs the tiny network accuracy"),
        ("tiny", [3900, 4500], "costs the tiny network accuracy"),  # by 195, within the noise over seeds
        ("large", [2995, 3005], "raises the large network's accuracy"),
        ("large", [3200, 3210], "raises the large network's accuracy"),
        ("large", [2500, 3100], "raises the large network's accuracy"),
    ],
)
def test_a_regulariser_that_does_otherwise(way: str, network: str, counts: list[int], text: str) -> None:
    failed = [one for one in failing(outcome_of({f"{network}-{way}": counts})) if not one.startswith("Each")]
    assert failed == [f"{WAYS[way].name} {text}"]


def test_the_others_are_promised_nothing_alone() -> None:
    unnamed = [way for way in OTHERS if way not in NAMED]
    helped = {f"tiny-{way}": [3900, 3910] for way in unnamed}
    assert failing(outcome_of(helped)) == []  # they gain 2 points on the tiny network, and 4 on the large one


@pytest.mark.parametrize("way", NAMED)
@pytest.mark.parametrize("tiny", [[3800, 3810], [3700, 3710], [3815, 3825]])
def test_one_that_gains_as_much_on_the_tiny_network(way: str, tiny: list[int]) -> None:
    """200 images are gained on the large one; 185 on the tiny one are fewer, but not clearly."""
    outcome = outcome_of({f"tiny-{way}": tiny})
    told = claim_of(outcome, "Each of these regularisers gains less")
    assert not told.held
    assert "2 of 3 are above" in told.evidence


def test_less_harm_to_the_large_network_is_enough() -> None:
    """What is compared are the gains: both may be losses."""
    harmed = {f"large-{way}": [3010, 3020] for way in OTHERS} | {f"tiny-{way}": [4300, 4310] for way in OTHERS}
    assert claim_of(outcome_of(harmed), "Each of these regularisers gains less").held


@pytest.mark.parametrize(
    ("forgotten", "holds"),
    [
        # plainly trained they are right about 20 % and 39.8 % of the test images
        ({"tiny": [80, 80], "large": [5, 5]}, True),
        ({"tiny": [20, 20], "large": [5, 5]}, False),  # 60 points above, against 55
        ({"tiny": [60, 20], "large": [5, 5]}, False),  # one seed is enough
        ({"tiny": [60, 60], "large": [5, 45]}, False),
    ],
)
def test_whether_the_large_network_over_fits_more(forgotten: dict[str, list[int]], holds: bool) -> None:
    outcome = outcome_of(forgotten=forgotten)
    assert claim_of(outcome, "over-fits more").held == holds
    assert len(failing(outcome)) == (0 if holds else 1)


def asked(scale: Scale) -> dict[str, dict[str, Any]]:
    return {one.label: one.recipe for one in EXPERIMENT.runs(scale)}


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_one_regulariser_at_a_time_and_nothing_else_differs(scale: Scale) -> None:
    found = asked(scale)
    assert set(found) == set(COUNTS)
    for network, arguments in NETWORKS.items():
        plain = found[f"{network}-{PLAIN}"]
        assert plain["data"]["augment"] == AUGMENT
        assert plain["models"]["student"] == dict(arguments)
        for way in OTHERS:
            other = found[f"{network}-{way}"]
            assert other["train"] == plain["train"]
            assert other["method"] == plain["method"]
            assert {**other["data"], "augment": AUGMENT} == plain["data"]
            more = {k: v for k, v in other["models"]["student"].items() if k not in arguments}
            assert len(other["data"]["augment"].keys() ^ AUGMENT.keys()) + len(more) == 1
    for way in WAYS:
        assert found[f"tiny-{way}"]["data"] == found[f"large-{way}"]["data"]
        assert found[f"tiny-{way}"]["train"] == found[f"large-{way}"]["train"]


def test_the_sizes_of_the_networks() -> None:
    sizes = {}
    for name, given in NETWORKS.items():
        arguments = {key: value for key, value in given.items() if key != "name"}
        network = build(given["name"], arguments, classes=100, channels=3, height=32, width=32)
        sizes[name] = sum(parameter.numel() for parameter in network.parameters())
    assert sizes["tiny"] < 100_000
    assert sizes["large"] > 20 * sizes["tiny"]


@pytest.mark.parametrize("scale", [Scale((0, 1), quick=False), Scale((0,), quick=True)], ids=["full", "quick"])
def test_recipes_are_valid_and_each_regulariser_changes_what_training_sees(
    scale: Scale, tmp_path: Path, data_root: Path
) -> None:
    plan = planned(EXPERIMENT.runs(scale), seeds=scale.seeds, root=tmp_path / "runs", folder=tmp_path)
    assert len(plan.ordered) == len(COUNTS) * len(scale.seeds)
    for label, runs in plan.labelled.items():
        augment = runs[0].recipe.data.augment
        assert [run.seed for run in runs] == list(scale.seeds)
        assert runs[0].recipe.data.subset == size_of(scale).images
        low, high = CHANGED.get(label.partition("-")[2], (0.7, 1.0))
        assert low <= share_changed(augment) <= high


def share_changed(augment: Augment) -> float:
    """Of 64 images of 32 pixels, how many look otherwise than with crops and flips."""
    pixels = torch.randint(1, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    part = InMemory(pixels, torch.arange(64) % 10, torch.arange(64))
    own, plain = (
        Loader(part, batch=32, augment=one, seed=0, classes=10).replay(torch.arange(64), 3)
        for one in (augment, Augment(**AUGMENT))
    )
    found = ((own - plain) * 255).abs().flatten(1).amax(1) > 0.5
    return float(found.float().mean())


@pytest.mark.parametrize("argument", [{"drop_block": 1.0}, {"dropout": -0.1}, {"block_side": 0}])
def test_networks_refuse_what_cannot_be(argument: dict[str, float], tmp_path: Path, data_root: Path) -> None:
    (first, *_) = EXPERIMENT.runs(QUICK)
    recipe = {**first.recipe, "models": {"student": {"name": "resnet20", **argument}}}
    with pytest.raises(RecipeError, match=f"models.student.{next(iter(argument))}"):
        planned([Asked("wrong", recipe)], seeds=(0,), root=tmp_path / "runs", folder=tmp_path)
