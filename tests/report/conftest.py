"""Results of really trained networks, shared by the report's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.recipe.results import Results
from report.trained import Workshop, digits, hundred


@pytest.fixture(scope="session")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Teacher, student alone and distilled on digits, two seeds."""
    torch.manual_seed(0)
    return Workshop(digits(), tmp_path_factory.mktemp("digits"), epochs=5).results(seeds=[0, 1])


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A network trained by a recipe without a teacher, without a validation split, one seed."""
    torch.manual_seed(0)
    workshop = Workshop(digits(validation=0), tmp_path_factory.mktemp("alone"), epochs=3)
    return workshop.results(seeds=[3], roles=("trained",))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A hundred classes, coloured, one seed; names of classes that HTML must escape."""
    torch.manual_seed(0)
    return Workshop(hundred(), tmp_path_factory.mktemp("many"), epochs=3, student=32).results(seeds=[0])


@pytest.fixture(scope="session")
def page(distilled: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on `distilled`."""
    pytest.importorskip("matplotlib", reason="reports need the report extra")
    pytest.importorskip("jinja2", reason="reports need the report extra")
    from limbeck.report import write_report

    return write_report(distilled, tmp_path_factory.mktemp("page") / "report.html")
