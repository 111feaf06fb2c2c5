"""`limbeck check`: what a recipe would do, without training anything."""

from __future__ import annotations

from limbeck.cli.options import RUNS, Reference, Runs, Set


def check(recipe: Reference, overrides: Set = None, runs: Runs = RUNS) -> None:
    """Resolve a recipe, probe its networks, and print plan, shapes, sizes, FLOPs and memory. Trains nothing."""
    from rich.console import Console

    from limbeck.cli import pipeline
    from limbeck.cli.inspection import inspect_run
    from limbeck.recipe.context import Context

    console, context = Console(), Context()
    planned = pipeline.experiment(recipe, overrides or [], root=runs)
    for line in inspect_run(planned, context):
        console.print(line, highlight=False, soft_wrap=True)
