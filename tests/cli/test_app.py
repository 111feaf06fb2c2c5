"""The door of the command: help and version without torch."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from running import limbeck

VERBS = ("run", "check", "evaluate", "report", "export", "methods", "recipes", "reproduce", "schema")
HEAVY = ("torch", "numpy", "transformers", "accelerate", "matplotlib", "pandas")

CODE = """
import sys
import limbeck.cli
sys.argv = ["limbeck", *sys.argv[1:]]
try:
    limbeck.cli.main()
except SystemExit as left:
    assert not left.code, left.code
print("\\nloaded", *sys.modules)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["methods"], ["recipes"], ["reproduce"]])
def test_help_and_lists_need_no_torch(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("\nloaded ")[2].split())
    assert {"limbeck.cli", "typer"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("--help") == 0
    shown = capsys.readouterr().out
    assert [verb for verb in VERBS if verb not in shown] == []


def test_the_command_alone_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    limbeck()
    assert "Knowledge distillation on PyTorch" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("--version") == 0
    assert capsys.readouterr().out.strip() == f"limbeck {version('limbeck')}"


@pytest.mark.parametrize("arguments", [["ruin"], ["run"], ["run", "x.yaml", "--sett", "a=1"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck(*arguments) == 2
    assert "Usage" in capsys.readouterr().err
