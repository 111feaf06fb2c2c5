"""A user's own code is part of what a run is."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe.sources import source_digest


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_net.py").write_text("import torch\nfrom own_parts.width import WIDTH\nimport own_other\n")
    (tmp_path / "own_other.py").write_text("import own_net\n")
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts" / "__init__.py").write_text("from .width import WIDTH\n")
    (tmp_path / "own_parts" / "width.py").write_text("WIDTH = 8\n")
    (tmp_path / "unused.py").write_text("pass\n")
    return tmp_path


@pytest.mark.parametrize("name", ["own_net.py", "own_other.py", "own_parts/width.py", "own_parts/__init__.py"])
def test_a_change_in_a_module_or_in_one_that_it_imports_changes_the_digest(code: Path, name: str) -> None:
    before = source_digest("own_net")
    (code / name).write_text((code / name).read_text() + "# another\n")
    assert source_digest("own_net") != before


def test_what_is_not_imported_does_not_count(code: Path) -> None:
    before = source_digest("own_net")
    (code / "unused.py").write_text("1\n")
    assert source_digest("own_net") == before


def test_a_module_of_a_package_sees_what_lies_beside_its_package(code: Path) -> None:
    before = source_digest("own_parts.width")
    (code / "own_parts" / "width.py").write_text("from own_other import own_net\n")
    changed = source_digest("own_parts.width")
    (code / "own_other.py").write_text("import own_net  # another\n")
    assert len({before, changed, source_digest("own_parts.width")}) == 3
