from __future__ import annotations

from pathlib import Path

import pytest

from running import limbeck, stamps, write


def test_check_shows_everything_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    assert limbeck("check", "kd.yaml") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "runs/kd-",
        "runs/teacher-",
        "digits-mlp-alone-",
        "absent",
        "frozen",
        "trained",
        "1,810",
        "610",
        "terms",
    ):
        assert part in shown
    assert not (tmp_path / "runs").exists()


def test_check_says_what_is_finished(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stamps(lab)
    assert limbeck("check", "kd.yaml") == 0
    assert capsys.readouterr().out.count("finished") == 3
    assert stamps(lab) == before
