"""What the benchmarks share: their arguments, the table with one column per case, the file of results.

The file grows with every case that is done, so an interrupted benchmark loses nothing, and one case can be measured
again by itself. Figures of different machines, or versions of torch, are not mixed: the first case that is entered on
another machine begins the file anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
Lines = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""Label of a line -> what stands in it, from a case's figures."""


def present_device() -> torch.device:
    """The accelerator, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def asked(description: str, *, cases: Sequence[str], quick: str) -> argparse.Namespace:
    """The two arguments: `only`, the name of a case or None; `quick`.

    Args:
        description: of the benchmark.
        cases: their names.
        quick: what a quick run does.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", choices=cases, help="one case; it takes its place among the results")
    parser.add_argument("--quick", action="store_true", help=f"{quick}; nothing is written")
    return parser.parse_args()


def kept(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The results that a file holds of this machine, or nothing."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return document if document.get("machine") == facts else {}


def keep(path: Path, facts: Mapping[str, Any], case: Mapping[str, Any], *, order: Sequence[str]) -> None:
    """Enter a case into a file of results; cases that no longer exist are dropped.

    Args:
        path: of the file.
        facts: of the machine.
        case: its figures, with its name as `case`.
        order: the names of all cases.
    """
    document = kept(path, facts)
    known = {row["case"]: row for row in [*document.get("cases", []), case]}
    write(path, {"machine": facts, **document, "cases": [known[name] for name in order if name in known]})


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def show(
    title: str, found: Sequence[Mapping[str, Any]], heading: Callable[[Mapping[str, Any]], str], lines: Lines
) -> None:
    """Print the table: one column per case."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for case in found:
        table.add_column(heading(case), justify="right")
    for label, cell in lines.items():
        table.add_row(label, *[cell(case) for case in found])
    Console().print(table, highlight=False)


def say(line: str) -> None:
    """Print a line."""
    Console().print(line, highlight=False, soft_wrap=True)


def say_machine(facts: Mapping[str, Any]) -> None:
    """Print what the figures were measured on."""
    say(", ".join(f"{key} {value}" for key, value in facts.items()))
