from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from running import limbeck, only


def test_export_writes_a_file_that_gives_the_same(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("export", "kd.yaml", "--format", "safetensors") == 0
    assert "largest difference" in capsys.readouterr().out
    folder = only(lab / "runs", "kd")
    exported, own = load_file(folder / "exports/student.safetensors"), load_file(folder / "student-best.safetensors")
    assert sorted(tensor.sum().item() for tensor in exported.values()) == sorted(t.sum().item() for t in own.values())


def test_export_onnx_is_the_default(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("export", "kd.yaml") == 0
    assert "student.onnx" in capsys.readouterr().out


def test_an_unknown_format_is_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("export", "kd.yaml", "--format", "onxx") == 1
    assert "close: onnx" in capsys.readouterr().err
