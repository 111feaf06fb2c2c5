"""`limbeck evaluate`: measure finished runs again."""

from __future__ import annotations

from limbeck.cli.options import RUNS, Reference, Runs, Set


def evaluate(recipe: Reference, overrides: Set = None, runs: Runs = RUNS) -> None:
    """Measure a finished recipe's networks again: accuracy, calibration, agreement, size, latency."""
    from rich.console import Console

    from limbeck.cli.pipeline import experiment
    from limbeck.cli.table import show
    from limbeck.recipe.collect import collect
    from limbeck.recipe.context import Context
    from limbeck.recipe.execute import remeasure

    context = Context()
    planned = experiment(recipe, overrides or [], root=runs)
    planned.require_finished()
    for one in planned.all_runs:
        remeasure(one, context)
    show(collect(planned.runs, planned.baselines, context), Console(), report=None)
