"""What starting costs: `limbeck --help` and `import limbeck` beside `import torch` and Python itself.

Each in a fresh process, taking turns, after one round that warms the disk. The figures are medians of the whole
process by the wall clock, as a person at a prompt waits for it. `python -m limbeck` is what the command `limbeck` runs.

    python benchmarks/import_time.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import machine
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
REFERENCE = "import torch"
COMMANDS = {
    "python": ["-c", "pass"],
    "import limbeck": ["-c", "import limbeck"],
    "limbeck --help": ["-m", "limbeck", "--help"],
    REFERENCE: ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    """One fresh process, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(*, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of each, and the median of its ratio to `import torch` in the same round."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    found = {}
    for name, times in taken.items():
        ratios = [one / other for one, other in zip(times[1:], taken[REFERENCE][1:], strict=True)]
        found[name] = {
            "seconds": round(statistics.median(times[1:]), 4),
            "least": round(min(times[1:]), 4),
            "share_of_torch": round(statistics.median(ratios), 4),
        }
    return found


def show(found: dict[str, dict[str, float]], facts: dict[str, Any], *, rounds: int) -> None:
    """The table."""
    table = Table(title="A fresh process", title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for heading in ("median, s", "least, s", f"share of {REFERENCE}"):
        table.add_column(heading, justify="right")
    for name, row in found.items():
        table.add_row(name, f"{row['seconds']:.3f}", f"{row['least']:.3f}", f"{row['share_of_torch']:.3f}")
    console = Console()
    console.print(table, highlight=False)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
    console.print(f"{rounds} rounds. Promised: `limbeck --help` within one second.", highlight=False)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What starting limbeck costs.")
    parser.add_argument("--quick", action="store_true", help="3 rounds; nothing is written")
    quick = parser.parse_args().quick
    rounds = 3 if quick else 15
    found, facts = measure(rounds=rounds), machine(torch.device("cpu"))
    show(found, facts, rounds=rounds)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / "import_time-cpu.json"
        path.write_text(
            json.dumps({"machine": facts, "rounds": rounds, "found": found}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
