"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Reference = Annotated[str, typer.Argument(metavar="RECIPE", help="A path ending in .yaml, or a shipped recipe's name.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as train.length='5 epochs'. Repeatable."),
]
Runs = Annotated[Path, typer.Option("--runs", help="The folder of all runs.")]
RUNS = Path("runs")
