"""Where finished runs that several tests look at may lie."""

from __future__ import annotations

import pytest

import running


@pytest.fixture(scope="session", autouse=True)
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    running.scratch_under(tmp_path_factory.mktemp("recipe"))
