from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from limbeck.data import DATA
from limbeck.data.source import ImageData


@pytest.mark.parametrize("name", DATA)
def test_names_lead_to_classes(name: str) -> None:
    file, kind = DATA[name].split(":")
    found = getattr(importlib.import_module(f"limbeck.data.{file}"), kind)
    assert issubclass(found, ImageData)
    assert found.title == name


def test_names_are_sorted() -> None:
    assert list(DATA) == sorted(DATA)


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, limbeck.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
