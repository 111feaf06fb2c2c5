from __future__ import annotations

import re

import pytest

from running import limbeck


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("methods") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("kd", "supervised", "compose"))
    assert limbeck("methods", "kdd") == 1
    assert "close: kd" in capsys.readouterr().err


def test_a_method_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("methods", "kd") == 0
    shown = capsys.readouterr().out
    assert "arXiv:1503.02531" in shown
    assert re.search(r"^temperature +4\.0 +number, above 0 +T, for both", shown, re.MULTILINE)
    assert limbeck("methods", "supervised") == 0
    assert "No hyper-parameters." in capsys.readouterr().out


def test_long_lines_go_on_below_themselves(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert limbeck("methods") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    wrapped = next(index for index, line in enumerate(lines) if line.startswith("compose")) + 1
    assert lines[wrapped].startswith(" " * lines[wrapped - 1].index("Several"))
