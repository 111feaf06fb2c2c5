"""Imports go one way, a broken contract would be noticed, and rooms open without heavy packages."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import limbeck

ROOT = Path(__file__).parent.parent
ROOMS = sorted(module.name for module in pkgutil.iter_modules(limbeck.__path__) if module.ispkg)


def test_rooms_import_only_from_rooms_below() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_an_import_the_other_way_would_be_noticed(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, contracts = text.partition("[tool.importlinter]")
    reversed_layers = contracts.replace(
        'layers = ["limbeck.methods", "limbeck.adapters", "limbeck.core", "limbeck.losses"]',
        'layers = ["limbeck.losses", "limbeck.core", "limbeck.adapters", "limbeck.methods"]',
    )
    assert reversed_layers != contracts
    (tmp_path / "pyproject.toml").write_text(f"[tool.importlinter]{reversed_layers}", encoding="utf-8")
    assert lint_imports(config_filename=str(tmp_path / "pyproject.toml"), no_cache=True) == 1


@pytest.mark.parametrize("package", ["torch", "transformers", "torchvision", "accelerate", "matplotlib"])
def test_the_doors_of_all_rooms_are_light(package: str, light: set[str]) -> None:
    assert package not in light


@pytest.fixture(scope="module")
def light() -> set[str]:
    """The modules that a fresh process has loaded after importing every room but the functions on tensors."""
    rooms = ", ".join(f"limbeck.{room}" for room in ROOMS if room != "losses")
    code = f"import sys, limbeck, {rooms}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_is(room: str) -> None:
    text = (Path(limbeck.__path__[0]) / room / "__init__.py").read_text(encoding="utf-8")
    assert text.startswith('"""')
