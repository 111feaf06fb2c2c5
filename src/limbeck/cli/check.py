"""`limbeck check`: what a recipe would do, without training anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.options import RUNS, Reference, Runs, Set


def check(
    recipe: Reference,
    overrides: Set = None,
    runs: Runs = RUNS,
    images: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write the first training batch here, augmented and mixed.")
    ] = None,
) -> None:
    """Resolve a recipe, probe its networks, print plan, sizes, FLOPs, memory, and try first steps. Trains nothing."""
    from rich.console import Console

    from limbeck.cli import pipeline
    from limbeck.cli.inspection import inspect_run
    from limbeck.recipe.context import Context

    console, context = Console(), Context()
    planned = pipeline.experiment(recipe, overrides or [], root=runs)
    for line in inspect_run(planned, context, images=images):
        console.print(line, highlight=False, soft_wrap=True)
