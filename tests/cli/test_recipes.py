from __future__ import annotations

import pytest

from running import limbeck


def test_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("recipes") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("digits/kd", "digits/teacher", "mnist/kd"))
    assert limbeck("recipes", "digits/kd") == 0
    assert "temperature: 4.0" in capsys.readouterr().out
