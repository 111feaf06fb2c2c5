"""`limbeck run`: once, again, otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe import execute as module
from running import limbeck, names, only, stamps


def test_a_table_a_verdict_and_where_everything_is(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("run", "kd.yaml", "--quiet") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "teacher student alone student distilled",
        "test accuracy",
        "test errors",
        "log-likelihood, negative",
        "calibration error",
        "agrees with the teacher",
        "parameters 1,810 610 610",
        "FLOPs per image",
        "with one seed, so without a spread",
    ):
        assert part in shown


def test_again_nothing_is_trained(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stamps(lab / "runs")

    def never(*_arguments: object, **_rest: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "fit", never)
    assert limbeck("run", "kd.yaml") == 0
    assert stamps(lab / "runs") == before


def test_with_another_temperature_the_teacher_is_reused(lab: Path) -> None:
    before = stamps(lab / "runs")
    assert limbeck("run", "kd.yaml", "--quiet", "--set", "method.temperature=2", "--set", "train.length=1 epochs") == 0
    after = stamps(lab / "runs")
    assert {name: after[name] for name in before} == before
    assert names(lab / "runs").count("kd") == 2


def test_fresh_and_another_folder_of_runs(lab: Path) -> None:
    before = stamps(lab / "runs")
    assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "elsewhere") == 0
    assert names(lab / "elsewhere") == ["teacher"]
    assert stamps(lab / "runs") == before
    assert limbeck("run", "teacher.yaml", "--quiet", "--fresh") == 0
    after = stamps(lab / "runs")
    teacher = only(lab / "runs", "teacher").name
    assert {name.partition("/")[0] for name in before if after[name] != before[name]} == {teacher}


def test_a_shipped_recipe_by_name_ends_with_a_verified_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["models.teacher.from.set={train.length: 8 epochs}", "train.length=20 epochs", "report=false", "seeds=1"]
    sets = [part for text in (*short, "evaluate.latency=false") for part in ("--set", text)]
    assert limbeck("run", "digits/kd", "--quiet", *sets) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert names(tmp_path / "runs") == ["digits-cnn-alone", "digits-kd", "digits-teacher"]
    assert "Distilling helped" in shown
    assert "only 50 of the 1200 training images have a label" in shown
    assert "largest difference from the live network" in shown
    assert (only(tmp_path / "runs", "digits-kd") / "exports" / "student.onnx").is_file()
