"""What every experiment of the table promises, without training any."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.reproduce import DESCRIPTIONS, EXPERIMENTS, find
from limbeck.reproduce.experiment import Experiment, Scale
from limbeck.sweep.planning import Planned, planned
from limbeck.train.settings import parse_length

FULL, QUICK = Scale((0, 1, 2), quick=False), Scale((0,), quick=True)


def plan(name: str, scale: Scale, folder: Path) -> Planned:
    return planned(find(name).runs(scale), seeds=scale.seeds, root=folder / "runs", folder=folder)


def test_the_table_is_sorted_and_described() -> None:
    assert list(EXPERIMENTS) == sorted(EXPERIMENTS) == list(DESCRIPTIONS)
    assert all(0 < len(line) < 100 for line in DESCRIPTIONS.values())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_is_an_experiment_with_a_title_and_a_paper(name: str) -> None:
    found = find(name)
    assert isinstance(found, Experiment)
    assert found.title.endswith(".")
    assert "arXiv:" in found.paper or "CVPR" in found.paper


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_recipes_are_right(name: str, scale: Scale, tmp_path: Path, data_root: Path) -> None:
    found = plan(name, scale, tmp_path)
    assert len(found.ordered) >= len(found.labelled)
    assert all(run.recipe.data.batch for run in found.ordered)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_quick_version_is_much_smaller(name: str, tmp_path: Path, data_root: Path) -> None:
    def work(scale: Scale) -> float:
        """Images × passes × weights (perceptrons) or pixels (convolutions) of all trainings, about."""
        total = 0.0
        for run in plan(name, scale, tmp_path).ordered:
            length, unit = parse_length(run.recipe.train.length)
            subset = run.recipe.data.subset
            images = min(subset if isinstance(subset, int) else 60_000 * (subset or 1.0), 60_000)
            seen = length * run.recipe.data.batch if unit == "step" else length * images
            units = getattr(run.recipe.models["student"], "arguments", {}).get("hidden", [0])[0]
            side = getattr(run.recipe.data, "size", None) or 32
            total += seen * (units * (784 + units) if units else side**2)
        return total

    assert work(QUICK) <= work(Scale((0,), quick=False)) / 10
