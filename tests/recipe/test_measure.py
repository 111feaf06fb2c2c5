from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limbeck.cli.pipeline import experiment
from limbeck.core.errors import RunError
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.context import Context
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.measure import tested_part as part_for_figures
from limbeck.recipe.networks import delivered
from running import finished, only


@pytest.fixture(scope="module")
def folder() -> RunFolder:
    return RunFolder(only(finished() / "runs", "kd"))


def test_figures_come_from_the_test_split() -> None:
    planned = experiment(finished() / "kd.yaml", root=finished() / "runs").runs[0]
    dataset = Context().dataset(planned)
    assert part_for_figures(dataset) is dataset.test
    assert part_for_figures(replace(dataset, test=None)) is dataset.validation
    assert part_for_figures(replace(dataset, test=None, validation=None)) is None


def test_figures_of_best_last_and_teacher_follow_from_their_predictions(folder: RunFolder) -> None:
    measured = folder.read("evaluation.json")
    assert set(measured) == {"teacher", "best", "last"}
    teacher = Predictions.load(folder / "predictions-teacher.safetensors")
    for name, figures in measured.items():
        found = Predictions.load(folder / f"predictions-{name}.safetensors")
        assert len(found.labels) == 597
        right = found.logits.argmax(1) == found.labels
        assert figures["accuracy"] == pytest.approx(right.float().mean().item())
        if name != "teacher":
            same = (found.logits.argmax(1) == teacher.logits.argmax(1)).float().mean().item()
            assert figures["agreement"] == pytest.approx(same)
            assert figures["kl"] > 0
    assert "agreement" not in measured["teacher"]


def test_predictions_are_those_of_the_delivered_network(folder: RunFolder) -> None:
    planned = experiment(finished() / "kd.yaml", root=finished() / "runs").runs[0]
    dataset = Context().dataset(planned)
    network, _ = delivered(planned, dataset)
    with torch.no_grad():
        logits = network.eval()(dataset.test.pixels_at(torch.arange(20)) / 255)
    known = Predictions.load(folder / "predictions-best.safetensors").logits[:20]
    torch.testing.assert_close(logits, known, rtol=1e-4, atol=1e-4)


def test_costs_are_of_student_and_teacher(folder: RunFolder) -> None:
    costs = folder.read("costs.json")
    assert set(costs) == {"teacher", "student"}
    assert costs["student"]["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert costs["teacher"]["parameters"] == 64 * 24 + 24 + 24 * 10 + 10
    assert costs["student"]["latency"] == []
    assert costs["student"]["weight_bytes"] == 4 * costs["student"]["parameters"]


def test_weights_that_are_damaged_say_what_to_do(folder: RunFolder, tmp_path: Path) -> None:
    planned = experiment(finished() / "kd.yaml", root=finished() / "runs").runs[0]
    broken = shutil.copytree(folder.path, tmp_path / folder.path.name)
    (broken / "student-last.safetensors").write_bytes(b"cut")
    with pytest.raises(RunError, match=r"student-last.safetensors is damaged .*--fresh"):
        delivered(replace(planned, root=tmp_path), Context().dataset(planned), "last")
