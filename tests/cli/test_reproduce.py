"""`limbeck reproduce`: the list, a verdict, and the exit code that says whether every claim held."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.reproduce import DESCRIPTIONS, logit_matching
from limbeck.reproduce.experiment import Claim, Line, Outcome, Scale
from limbeck.sweep.finished import Done
from running import limbeck

pytest.importorskip("matplotlib", reason="pages need the report extra")


class Failing:
    """Says of everything that it failed."""

    title, paper = "Nothing [works].", "Nobody"

    def runs(self, scale: Scale) -> tuple[()]:
        return ()

    def judge(self, done: Done, scale: Scale) -> Outcome:
        claims = (Claim("it [bold]holds[/]", False, "it does not"), Claim("two is two", True, "2 = 2"))
        return Outcome((Line("what [it] is", "1", "2"),), claims, (), (f"{len(scale.seeds)} seeds",))


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_without_a_name_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("reproduce") == 0
    shown = capsys.readouterr().out
    assert all(f"{name} " in shown and line in shown for name, line in DESCRIPTIONS.items())


def test_claims_that_hold_end_with_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("reproduce", "logit-matching") == 0
    shown = capsys.readouterr().out
    assert shown.count("yes  ") == 4
    folder = tmp_path / "runs" / "reproductions" / "logit-matching-3seeds"
    assert f"Report: runs/reproductions/{folder.name}/report.html" in shown
    assert (folder / "report.html").is_file()
    assert json.loads((folder / "outcome.json").read_text())["held"] is True
    assert "quick" not in shown


def test_a_claim_that_fails_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logit_matching, "EXPERIMENT", Failing())
    assert limbeck("reproduce", "logit-matching", "--quick", "--seeds", "2", "--runs", "elsewhere") == 1
    shown = capsys.readouterr().out
    for part in ("NO   it [bold]holds[/]", "yes  two is two", "what [it] is", "Nothing [works].", "2 seeds"):
        assert part in shown
    assert "quick version" in shown
    assert (tmp_path / "elsewhere" / "reproductions" / "logit-matching-quick-2seeds" / "report.html").is_file()


def test_an_unknown_name_ends_with_one_and_close_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("reproduce", "logit-macthing") == 1
    assert "close: logit-matching" in " ".join(capsys.readouterr().err.split())


def test_no_seeds_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("reproduce", "logit-matching", "--seeds", "0") == 2
    assert "Usage" in capsys.readouterr().err
