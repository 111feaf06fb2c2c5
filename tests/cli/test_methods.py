from __future__ import annotations

import pytest

from running import limbeck


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("methods") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("kd", "supervised", "compose"))
    assert limbeck("methods", "kd") == 0
    assert "temperature: " in capsys.readouterr().out
    assert limbeck("methods", "kdd") == 1
    assert "close: kd" in capsys.readouterr().err
