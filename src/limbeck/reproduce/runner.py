"""An experiment from its name to its verdict: plan, run, judge, write."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.core.files import write_json
from limbeck.recipe.context import Context
from limbeck.recipe.versions import versions
from limbeck.reproduce import find
from limbeck.reproduce.experiment import Experiment, Outcome, Scale
from limbeck.reproduce.page import require_packages, verdict, write_page
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import planned
from limbeck.sweep.train import train_all


@dataclass(frozen=True, eq=False)
class Reproduced:
    """A judged experiment and where it lies.

    Args:
        name: of the experiment.
        experiment: what was done.
        scale: how large.
        outcome: what came of it.
        done: its runs.
        folder: holds `outcome.json`, `report.html` and the recipes that were given as plain data.
    """

    name: str
    experiment: Experiment
    scale: Scale
    outcome: Outcome
    done: Done
    folder: Path

    @property
    def page(self) -> Path:
        """The report page."""
        return self.folder / "report.html"


def reproduce(name: str, scale: Scale, *, root: Path, jobs: int | None, context: Context) -> Reproduced:
    """Do an experiment; what is finished already is reused.

    Args:
        name: one of `EXPERIMENTS`.
        scale: how large.
        root: the folder of all runs.
        jobs: processes that train at the same time; absent = one per core, at most `MOST_JOBS`.
        context: how to talk to the person.

    Raises:
        RecipeError: there is no such experiment, or one of its recipes is wrong.
        MissingPackage: what draws the page is not installed.
        RunError: a run failed.
        Interrupted: somebody asked to stop; everything is saved.
    """
    return conduct(name, find(name), scale, root=root, jobs=jobs, context=context)


def conduct(
    name: str, experiment: Experiment, scale: Scale, *, root: Path, jobs: int | None, context: Context
) -> Reproduced:
    """The same with an experiment that is not in the table.

    Args:
        name: of its folder.
        experiment: what to do.
        scale: how large.
        root: the folder of all runs.
        jobs: processes that train at the same time.
        context: how to talk to the person.
    """
    require_packages()
    folder = root / "reproductions" / f"{name}{'-quick' if scale.quick else ''}-{len(scale.seeds)}seeds"
    plan = planned(experiment.runs(scale), seeds=scale.seeds, root=root, folder=folder)
    train_all(plan, jobs=jobs, context=context)
    context.say("every network is trained; judging the claims, which measures networks anew")
    runs = {label: tuple(Finished(run, context) for run in several) for label, several in plan.labelled.items()}
    done = Done(runs)
    made = Reproduced(name, experiment, scale, experiment.judge(done, scale), done, folder)
    written = document(made)
    write_json(folder / "outcome.json", written)
    write_page(made, written["runs"])
    return made


def document(made: Reproduced) -> dict[str, Any]:
    """The outcome as plain data; the drawings are on the page only."""
    outcome = made.outcome
    return {
        "name": made.name,
        "title": made.experiment.title,
        "paper": made.experiment.paper,
        "quick": made.scale.quick,
        "seeds": list(made.scale.seeds),
        "verdict": verdict(outcome),
        "held": all(claim.held for claim in outcome.claims),
        "lines": [asdict(line) for line in outcome.lines],
        "claims": [asdict(claim) for claim in outcome.claims],
        "notes": list(outcome.notes),
        "runs": [row for label, several in made.done.items() for row in run_rows(label, several)],
        "versions": versions(),
    }


def run_rows(label: str, several: tuple[Finished, ...]) -> list[dict[str, Any]]:
    """What tables say of runs."""
    return [
        {
            "label": label,
            "seed": one.run.seed,
            "folder": one.run.folder.name,
            "accuracy": one.accuracy(),
            "errors": one.errors(),
            "seconds": round(one.seconds, 1),
        }
        for one in several
    ]
