"""Where finished runs that several tests look at may lie, and a copy of them to work in."""

from __future__ import annotations

from pathlib import Path

import pytest

import running


@pytest.fixture(scope="session", autouse=True)
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    running.scratch_under(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: recipes with finished runs; Python modules beside them are found."""
    folder = running.copied(tmp_path / "lab")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(folder)
    return folder
