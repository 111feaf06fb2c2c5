from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe.resolve import resolve
from limbeck.recipe.shipped import Shipped, shipped
from running import limbeck


def test_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("recipes") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("digits/kd", "digits/teacher", "mnist/kd"))
    assert limbeck("recipes", "digits/kd") == 0
    assert "temperature: 4.0" in capsys.readouterr().out


@pytest.mark.parametrize("one", shipped(), ids=lambda one: one.name)
def test_what_is_printed_is_a_recipe_in_any_folder(
    one: Shipped, tmp_path: Path, capsys: pytest.CaptureFixture[str], data_root: Path
) -> None:
    assert limbeck("recipes", one.name) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert resolve(tmp_path / "mine.yaml").canonical == resolve(one.name).canonical
