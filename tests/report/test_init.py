"""The room's name costs nothing to import."""

from __future__ import annotations

import subprocess
import sys

import limbeck.report


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = "import sys, limbeck.report; print(sorted({'torch', 'matplotlib', 'jinja2', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_it_offers() -> None:
    assert limbeck.report.__all__ == ["write_report"]
