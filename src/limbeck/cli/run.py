"""`limbeck run`: everything that a recipe asks for."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck.cli.options import RUNS, Reference, Runs, Set


def run(
    recipe: Reference,
    overrides: Set = None,
    runs: Runs = RUNS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train this recipe's own runs again.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time of each training went.")] = False,
) -> None:
    """Train, compare, export and report. What is finished is reused; what was interrupted goes on."""
    from rich.console import Console

    from limbeck.cli import pipeline
    from limbeck.cli.profiles import show_profiles, show_untrained
    from limbeck.cli.table import show
    from limbeck.recipe.context import Context

    console, errors = Console(), Console(stderr=True)
    context = Context(say=lambda line: errors.print(line, highlight=False, style="dim"), progress=not quiet)
    context.profiles = [] if profile else None
    main = context.processes.is_main_process
    try:
        results = pipeline.run(recipe, overrides or [], root=runs, fresh=fresh, context=context)
    finally:  # a training that was stopped has shown where its time goes, too
        if main:
            show_profiles(context.profiles or [], console)
    if main:
        planned = pipeline.experiment(recipe, overrides or [], root=runs)
        if context.profiles is not None:
            show_untrained(planned.runs, context.profiles, console)
        show(results, console, report=planned.report_path if planned.report_path.is_file() else None)
