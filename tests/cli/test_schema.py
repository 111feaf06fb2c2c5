from __future__ import annotations

import json

import pytest

from running import limbeck


def test_schema_is_json_that_knows_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"data", "models", "method", "train", "seeds"} <= schema["properties"].keys()
