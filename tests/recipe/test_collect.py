from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.cli.pipeline import experiment
from limbeck.core.errors import DataError, RunError
from limbeck.evaluate.classification import compare
from limbeck.recipe.collect import collect
from limbeck.recipe.context import Context
from running import copied, finished, only, run


def test_a_teacher_a_student_alone_and_one_distilled() -> None:
    planned = experiment(finished() / "kd.yaml", root=finished() / "runs")
    found = collect(planned.runs, planned.baselines, Context())
    assert [entry.role for entry in found.entries] == ["teacher", "alone", "distilled"]
    teacher, alone, distilled = found.entries
    assert teacher.folder == distilled.folder == only(finished() / "runs", "kd")
    assert alone.folder == only(finished() / "runs", "digits-mlp-alone")
    assert found.classes == tuple("0123456789")
    assert all(entry.curves for entry in found.entries)
    assert all(entry.seconds for entry in found.entries)
    assert [entry.selected for entry in found.entries[1:]] == ["best", "best"]
    assert "agreement" in distilled.metrics
    expected = compare(alone.predictions, teacher.predictions)
    assert {name: alone.metrics[name] for name in expected} == expected
    assert [note for note in found.notes if not note.startswith("a likely reason: ")] == []
    assert not (found.gain.better and found.notes)  # reasons are given where the gain is not clear, and only there


def test_a_recipe_without_a_teacher_is_one_trained_network() -> None:
    planned = experiment(finished() / "teacher.yaml", root=finished() / "runs")
    (entry,) = collect(planned.runs, planned.baselines, Context()).entries
    assert entry.role == "trained"


def test_few_labels_are_said_to_be_where_the_gain_comes_from(tmp_path: Path) -> None:
    lab = copied(tmp_path / "lab")
    found = run(lab / "kd.yaml", "data.labelled=40", "train.length=1 epochs", "baseline=false")
    assert any("only 40 of the 360 training images have a label" in note for note in found.notes)
    assert any("That is where a gain comes from" in note for note in found.notes)


def test_where_layers_alone_are_taught_images_without_a_label_are_not_said_to_teach_answers(tmp_path: Path) -> None:
    lab = copied(tmp_path / "lab")
    taps = "[{student: layer1, teacher: layer1}]"
    method = f"method={{name: similarity_preserving, taps: {taps}}}"
    found = run(lab / "kd.yaml", method, "data.labelled=40", "train.length=2 steps", "baseline=false")
    assert any("They teach its layers, not its answers" in note for note in found.notes)
    assert not any("That is where a gain comes from" in note for note in found.notes)


def test_without_a_test_split_the_validation_split_is_measured_and_without_any_nothing_can_be(tmp_path: Path) -> None:
    lab = copied(tmp_path / "lab")
    (lab / "own_untested.py").write_text(_UNTESTED)
    text = (lab / "teacher.yaml").read_text().replace("name: digits", "name: 'own_untested:Untested'")
    (lab / "untested.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(lab)
        found = run(lab / "untested.yaml", "train.length=1 epochs")
        assert len(found.entries[0].predictions.labels) == 40
        with pytest.raises(DataError, match="has neither a test nor a validation split"):
            run(lab / "untested.yaml", "train.length=1 epochs", "data.validation=0")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("evaluation.json", "{}"),
        ("costs.json", "{}"),
        ("run.json", '{"state": "finished"}'),
        ("run.json", "[]"),
        ("metrics.jsonl", '{"step": 1'),
    ],
)
def test_a_damaged_file_of_a_finished_run_says_what_to_do(tmp_path: Path, name: str, text: str) -> None:
    lab = copied(tmp_path / "lab")
    planned = experiment(lab / "kd.yaml", root=lab / "runs")
    (only(lab / "runs", "kd") / name).write_text(text)
    with pytest.raises(RunError, match=rf"{name} is damaged .*--fresh"):
        collect(planned.runs, planned.baselines, Context())


_UNTESTED = '''
"""Digits of which nothing is set aside for tests."""

from limbeck.core.settings import settings
from limbeck.data.digits import Digits


@settings
class Untested(Digits):
    def find(self):
        return super().find()._replace(test=None)
'''
