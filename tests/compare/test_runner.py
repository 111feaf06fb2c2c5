"""A comparison from recipes to its page, on the embedded digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from compare.compared import RECIPES, Done, done, swept
from limbeck.compare.page import render
from limbeck.core.errors import DataError, RecipeError
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe import execute as module
from limbeck.recipe.folder import RunFolder
from running import only, stamps, write

pytest.importorskip("matplotlib", reason="pages need the report extra")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return swept(tmp_path_factory.mktemp("compared"))


def root_of(found: Done) -> Path:
    return found[1].parents[1]


def test_teacher_then_student_alone_then_every_setting(found: Done) -> None:
    comparison, _ = found
    assert [(row.number, row.label, row.contestant.role) for row in comparison.rows] == [
        (1, "teacher mlp", "teacher"),
        (2, "mlp alone", "alone"),
        (3, "temperature 1", "distilled"),
        (4, "temperature 4", "distilled"),
    ]
    assert [len(row.contestant.runs) for row in comparison.rows] == [1, 2, 2, 2]
    assert {row.contestant.alone for row in comparison.rows[2:]} == {"mlp alone"}
    assert (comparison.images, comparison.split, comparison.seeds) == (597, "test", (0, 1))
    trained = sorted(path.name.rpartition("-")[0] for path in root_of(found).iterdir() if path.name != "comparisons")
    assert trained == ["digits-mlp-alone"] * 2 + ["kd"] * 4 + ["teacher"]  # the student alone is shared


def test_figures_are_those_of_the_runs(found: Done) -> None:
    comparison, _ = found
    row = comparison.row("temperature 4")
    accuracies = []
    for run in row.contestant.runs:
        assert run.run.recipe.method.temperature == 4.0
        predictions = Predictions.load(run.folder / "predictions-best.safetensors")
        accuracies.append((predictions.logits.argmax(1) == predictions.labels).double().mean().item())
    assert row.contestant.accuracies == pytest.approx(accuracies)
    assert row.contestant.std == pytest.approx(torch.tensor(accuracies).std().item(), abs=1e-6)
    alone = comparison.row("mlp alone").contestant
    assert row.gain is not None
    assert row.gain.value == pytest.approx(row.contestant.accuracy - alone.accuracy)
    teacher = comparison.row("teacher mlp").contestant
    upstream = RunFolder(only(root_of(found), "teacher"))
    assert teacher.accuracy == pytest.approx(upstream.read("evaluation.json")["best"]["accuracy"])
    assert teacher.seconds == upstream.read("run.json")["seconds"]


def test_equal_networks_have_equal_costs(found: Done) -> None:
    comparison, _ = found
    students = comparison.students
    assert students[0].latency is not None
    assert len({row.latency for row in students}) == len({row.parameters for row in students}) == 1
    assert comparison.rows[0].parameters > students[0].parameters


def test_validation_alone_chooses(found: Done) -> None:
    comparison, _ = found
    best = max(comparison.students, key=lambda row: row.contestant.validation or 0.0)
    assert comparison.chosen() is best


def test_every_pair_once(found: Done) -> None:
    comparison, _ = found
    pairs = {(one.label, other.label): gap for one, other, gap in comparison.differences}
    assert list(pairs) == [
        ("mlp alone", "temperature 1"),
        ("mlp alone", "temperature 4"),
        ("temperature 1", "temperature 4"),
    ]
    gain = comparison.row("temperature 4").gain
    assert gain is not None
    assert pairs["mlp alone", "temperature 4"].value == pytest.approx(-gain.value)


def test_the_file_for_programs(found: Done) -> None:
    comparison, folder = found
    written = json.loads((folder / "comparison.json").read_text())
    assert written["verdict"] == comparison.verdict()
    assert [row["label"] for row in written["rows"]] == [row.label for row in comparison.rows]
    assert written["rows"][3]["accuracies"] == comparison.rows[3].contestant.accuracies
    assert written["over"] == {"method.temperature": [1, 4]}
    assert all(count == written["budget"]["temperature 1"] for count in written["budget"].values())


def test_the_page_shows_everybody_and_loads_nothing(found: Done) -> None:
    comparison, folder = found
    page = (folder / "report.html").read_text()
    assert page == render(comparison)
    for text in ("temperature 4", "Accuracy against latency", "Accuracy against size", "Accuracy along temperature"):
        assert text in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_again_nothing_is_trained(found: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object, **_rest: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "fit", never)
    root = root_of(found)
    before = {name: stamp for name, stamp in stamps(root).items() if not name.startswith("comparisons/")}
    again, folder = done(root.parent, "kd.yaml", over=("method.temperature=1,4",))
    assert folder == found[1]
    assert again.verdict() == found[0].verdict()
    assert {name: stamps(root)[name] for name in before} == before


def test_a_recipe_that_is_the_student_alone_is_its_baseline(tmp_path: Path) -> None:
    comparison, _ = done(write(tmp_path, RECIPES), "kd.yaml", "small.yaml", seeds=1)
    assert [(row.label, row.contestant.role, row.contestant.alone) for row in comparison.rows] == [
        ("teacher mlp", "teacher", None),
        ("kd", "distilled", "small"),
        ("small", "alone", None),
    ]
    assert comparison.row("kd").gain is not None


def test_networks_without_any_teacher(tmp_path: Path) -> None:
    comparison, folder = done(write(tmp_path, RECIPES), "small.yaml", "teacher.yaml", seeds=2)
    assert [(row.label, row.contestant.role) for row in comparison.rows] == [
        ("small", "trained"),
        ("teacher", "trained"),
    ]
    assert comparison.row("teacher").gain is None
    assert comparison.verdict().startswith("teacher is clearly ahead of small")
    assert all(row.latency is None for row in comparison.rows)  # no recipe wants times
    assert "Accuracy against latency" not in (folder / "report.html").read_text(encoding="utf-8")


def test_unequal_budgets_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    folder = write(tmp_path, RECIPES)
    with pytest.raises(RecipeError, match=r"unequally many .*length 1 epochs: 320; length 2 epochs: 640.*--unequal"):
        done(folder, "small.yaml", over=("train.length=1 epochs,2 epochs",))
    assert not list((folder / "runs").glob("*/run.json"))
    comparison, _ = done(folder, "small.yaml", over=("train.length=1 epochs,2 epochs",), seeds=1, unequal=True)
    assert comparison.budget == {"length 1 epochs": 320, "length 2 epochs": 640}


def test_other_test_images_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, {**RECIPES, "other.yaml": "extends: small.yaml\ndata: {size: 10}\n"})
    with pytest.raises(DataError, match="small and other are not tested on the same images"):
        done(folder, "small.yaml", "other.yaml")
