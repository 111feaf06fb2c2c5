from __future__ import annotations

from pathlib import Path

import pytest

from running import limbeck, only


def test_report_writes_the_page(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("report", "kd.yaml") == 0
    page = only(lab / "runs", "kd") / "report.html"
    assert "report.html" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
