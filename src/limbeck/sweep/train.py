"""Many runs from unfinished to finished: checked together first, then trained side by side where cores allow."""

from __future__ import annotations

from limbeck.recipe.context import Context
from limbeck.recipe.execute import execute
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.preflight import preflight
from limbeck.sweep.planning import Planned
from limbeck.sweep.progress import RunsProgress
from limbeck.sweep.workers import cores, do_all

MOST_JOBS = 8
"""Processes that are started unless more are asked for: each holds the data and torch in memory."""


def train_all(plan: Planned, *, jobs: int | None, context: Context) -> None:
    """Make all runs finished; what is finished already is reused.

    Args:
        plan: the runs.
        jobs: processes that train at the same time; absent = one per core, at most `MOST_JOBS`.
        context: how to talk to the person.

    Raises:
        LimbeckError: a run cannot be done; nothing has been trained.
        RunError: a run failed; the others were stopped and saved.
        Interrupted: somebody asked to stop; everything is saved.
    """
    unfinished = [run for run in plan.ordered if RunFolder(run.folder).state != "finished"]
    preflight([*plan.labelled.values(), *plan.baselines.values()], context)
    jobs = min(jobs or min(cores(), MOST_JOBS), max(1, len(unfinished)))
    if jobs == 1:
        for number, run in enumerate(unfinished, start=1):
            context.say(f"run {number} of {len(unfinished)}: {plan.names.get(run.hash, run.name)}, seed {run.seed}")
            execute(run, context)
        return
    finished = len(plan.ordered) - len(unfinished)
    with RunsProgress(len(plan.ordered), finished=finished, visible=context.progress, names=plan.names) as bar:
        do_all(unfinished, plan, jobs=jobs, bar=bar)
