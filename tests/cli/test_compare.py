"""`limbeck compare`: the table, the verdict, the likely reasons, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from running import RECIPES, limbeck, write

pytest.importorskip("matplotlib", reason="pages need the report extra")


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, RECIPES))
    monkeypatch.setenv("COLUMNS", "160")


def test_a_table_a_verdict_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("compare", "kd.yaml", "--over", "method.temperature=1,4", "--seeds", "2", "--jobs", "1") == 0
    shown = capsys.readouterr().out
    assert "kd · method.temperature 1, 4: test accuracy, mean ± std of 2 seeds" in shown
    for start in ("1  teacher mlp", "2  mlp alone", "3  temperature 1", "4  temperature 4"):
        assert any(line.startswith(start) and "%" in line for line in shown.splitlines())
    assert "clearly better than the same student alone" in shown
    assert "Best on the validation images: " in shown
    (page,) = (tmp_path / "runs" / "comparisons").glob("*/report.html")
    assert f"Report: {page.relative_to(tmp_path)}" in shown


def test_likely_reasons_name_the_rows_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    untrained = "models.teacher={from: {recipe: teacher.yaml, set: {train.length: 1 steps}}}"
    assert limbeck("compare", "kd.yaml", "--set", untrained, "--seeds", "1", "--jobs", "1") == 0
    shown = capsys.readouterr().out
    assert "Likely reason (3): the teacher is not clearly better than the student alone" in shown
    assert "one seed" in shown


def test_refusals_train_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("compare", "kd.yaml", "--over", "method.temprature=1,2") == 1
    assert "temprature" in capsys.readouterr().err
    assert limbeck("compare", "kd.yaml", "--over", "train.length=1 epochs,2 epochs") == 1
    assert "--unequal" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*/run.json"))
