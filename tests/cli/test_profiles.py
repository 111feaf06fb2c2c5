"""`limbeck run --profile`."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.cli import pipeline
from limbeck.recipe.context import Context
from running import limbeck, only, stamps

SHORT = ("--quiet", "--profile", "--set", "train.length=1 epochs")


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_table_per_training_and_then_the_results(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("run", "kd.yaml", *SHORT) == 0
    text = shown(capsys)
    assert text.count("Training time of ") == 2  # the teacher is reused, the student alone is not
    distilled, alone = text.split("Training time of ")[1:]
    assert distilled.startswith("kd-")
    for part in (
        "seed 0, 5 steps",
        "seconds share ms a step",
        "data",
        "teacher forward",
        "student forward",
        "backward",
    ):
        assert part in distilled
    assert "teacher forward" not in alone
    assert "Processor idle: " in alone
    assert "No profile" not in text
    assert text.index("Processor idle") < text.index("test accuracy")


def test_stored_outputs_are_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached = ("--set", "train.teacher_outputs=cached", "--set", "baseline=false")
    assert limbeck("run", "kd.yaml", *SHORT, *cached) == 0
    text = shown(capsys)
    assert "teacher (stored outputs)" in text
    assert "teacher forward" not in text


def test_a_finished_run_says_how_to_get_one(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stamps(lab / "runs")
    assert limbeck("run", "kd.yaml", "--quiet", "--profile") == 0
    assert stamps(lab / "runs") == before
    text, kd = shown(capsys), only(lab / "runs", "kd").name
    assert f"No profile of {kd}: it was finished before, so nothing was trained." in text
    assert "--fresh" in text
    assert "Training time" not in text
    assert "test accuracy" in text
    assert limbeck("run", "kd.yaml", "--quiet", "--profile", "--fresh") == 0
    text = shown(capsys)
    assert f"Training time of {kd}, seed 0" in text
    assert "No profile" not in text
    assert {path.partition("/")[0] for path in stamps(lab / "runs")} == {path.partition("/")[0] for path in before}


def test_without_it_nothing_is_shown(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("run", "teacher.yaml", "--quiet", "--fresh") == 0
    text = shown(capsys)
    assert "Training time" not in text
    assert "No profile" not in text


def test_from_python(lab: Path) -> None:
    context = Context(progress=False, profiles=[])
    pipeline.run(lab / "teacher.yaml", root=lab / "elsewhere", context=context)
    ((run, profile),) = context.profiles or []
    assert run.folder.name == only(lab / "elsewhere", "teacher").name
    assert profile.steps == 15
    assert "student forward" in str(profile)
