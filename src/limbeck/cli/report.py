"""`limbeck report`: write the page of finished runs."""

from __future__ import annotations

from limbeck.cli.options import RUNS, Reference, Runs, Set


def report(recipe: Reference, overrides: Set = None, runs: Runs = RUNS) -> None:
    """Write the HTML page of a finished recipe again."""
    from rich.console import Console

    from limbeck.cli.pipeline import experiment
    from limbeck.recipe.collect import collect
    from limbeck.recipe.context import Context
    from limbeck.report import write_report

    planned = experiment(recipe, overrides or [], root=runs)
    planned.require_finished()
    results = collect(planned.runs, planned.baselines, Context())
    Console().print(f"Report: {write_report(results, planned.report_path)}", highlight=False, soft_wrap=True)
