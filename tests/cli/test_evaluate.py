from __future__ import annotations

import json
from pathlib import Path

import pytest

from running import limbeck, only


def test_evaluate_measures_again(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = only(lab / "runs", "kd") / "evaluation.json"
    before = json.loads(path.read_text())
    path.unlink()
    assert limbeck("evaluate", "kd.yaml") == 0
    assert "student distilled" in " ".join(capsys.readouterr().out.split())
    assert json.loads(path.read_text()) == before
