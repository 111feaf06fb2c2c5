"""A comparison from recipes to its page: plan, check, train, time, judge, write."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from limbeck.compare.budget import check_budgets, check_tests, images_shown
from limbeck.compare.comparison import Comparison, Cost, Row
from limbeck.compare.contestants import Contestant, contestants
from limbeck.compare.grid import Grid
from limbeck.compare.page import write_page
from limbeck.compare.reasons import findings
from limbeck.core.files import write_json
from limbeck.recipe.collect import label_notes, same_notes
from limbeck.recipe.context import Context
from limbeck.recipe.execute import remeasure
from limbeck.recipe.folder import EXITS, RunFolder
from limbeck.recipe.graph import Run
from limbeck.recipe.measure import tested_part
from limbeck.recipe.resolve import resolve
from limbeck.recipe.results import mean_cost
from limbeck.recipe.versions import versions
from limbeck.report.page import require_packages
from limbeck.sweep.finished import Finished
from limbeck.sweep.planning import Planned, planned
from limbeck.sweep.train import train_all


def compare(
    grid: Grid, *, seeds: tuple[int, ...], root: Path, jobs: int | None, unequal: bool, context: Context
) -> tuple[Comparison, Path]:
    """Do a comparison; what is finished already is reused.

    Args:
        grid: what is compared.
        seeds: of every student.
        root: the folder of all runs.
        jobs: trainings at the same time; absent = one per core.
        unequal: whether unequal budgets are compared, too.
        context: how to talk to the person.

    Returns:
        What came of it, and the folder that holds `comparison.json` and `report.html`.

    Raises:
        RecipeError: a recipe is wrong, or the budgets differ.
        DataError: the recipes are not tested on the same images.
        MissingPackage: what draws the page is not installed.
        RunError: a run failed.
        Interrupted: somebody asked to stop; everything is saved.
    """
    require_packages()
    asked = list(grid.asked().values())
    plan = planned(asked, seeds=seeds, root=root, folder=root / "comparisons")
    firsts = {label: runs[0] for label, runs in plan.labelled.items()}
    check_tests(firsts, context)
    if not unequal:
        check_budgets(firsts, context)
    train_all(plan, jobs=jobs, context=context)
    timed = any(resolve(str(one.recipe), one.overrides).recipe.evaluate.latency for one in asked)
    comparison = _judged(grid, plan, seeds, context, timed=timed)
    folder = root / "comparisons" / _folder_name(plan)
    write_json(folder / "comparison.json", document(comparison))
    write_page(comparison, folder / "report.html")
    return comparison, folder


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "title": comparison.title,
        "verdict": comparison.verdict(),
        "seeds": list(comparison.seeds),
        "images": comparison.images,
        "split": comparison.split,
        "chosen_by_validation": None if (chosen := comparison.chosen()) is None else chosen.label,
        "rows": [_document_of(row) for row in comparison.rows],
        "differences": [
            {"first": one.label, "second": other.label, **asdict(found)} for one, other, found in comparison.differences
        ],
        "budget": dict(comparison.budget),
        "over": {key: list(values) for key, values in comparison.over.items()},
        "notes": list(comparison.notes),
        "versions": dict(comparison.versions),
    }


def _document_of(row: Row) -> dict[str, Any]:
    who = row.contestant
    return {
        "label": row.label,
        "role": who.role,
        "network": who.network,
        "accuracies": who.accuracies,
        "accuracy": who.accuracy,
        "std": who.std,
        "validation": who.validation,
        "gain": None if row.gain is None else asdict(row.gain),
        "against": who.alone,
        "teacher": who.teacher,
        "findings": [asdict(one) for one in row.findings],
        "cost": dict(row.cost),
        "seconds": who.seconds,
        "runs": [run.run.folder.name for run in who.runs],
    }


def _judged(grid: Grid, plan: Planned, seeds: tuple[int, ...], context: Context, *, timed: bool) -> Comparison:
    everybody = contestants(plan, grid.set_apart(), context)
    known = {one.label: one for one in everybody}
    costs = _Costs(context, timed=timed)
    rows = [_row(number, one, known, costs, context) for number, one in enumerate(everybody, start=1)]
    firsts = {label: runs[0] for label, runs in plan.labelled.items()}
    data = context.dataset(next(iter(firsts.values())))
    return Comparison(
        title=grid.title,
        rows=rows,
        seeds=seeds,
        images=rows[0].contestant.errors.images,
        split="test" if tested_part(data) is data.test else "validation",
        budget={label: images_shown(run, context.dataset(run)) for label, run in firsts.items()},
        over=grid.over,
        notes=_notes(everybody, context),
        versions=versions(),
    )


def _row(number: int, one: Contestant, known: Mapping[str, Contestant], costs: _Costs, context: Context) -> Row:
    cost = costs.of(one)
    if one.alone is None:
        return Row(number, one, cost)
    alone = known[one.alone]
    gain = one.errors.accuracy_over(alone.errors)
    if gain.better or one.teacher is None:
        return Row(number, one, cost, gain)
    teacher = known[one.teacher]
    over_alone = teacher.errors.accuracy_over(alone.errors)
    found = findings(one.runs[0].run, over_alone, context, role=str(teacher.frozen), test_accuracy=one.accuracies[0])
    return Row(number, one, cost, gain, found)


def _notes(everybody: list[Contestant], context: Context) -> list[str]:
    """What the runs had to say, each thing once."""
    found: list[str] = []
    for one in everybody:
        run = one.runs[0].run
        found += RunFolder(run.folder).read("run.json", keys=("notes",))["notes"]
        found += same_notes([each.run for each in one.runs])
        if one.alone:
            found += label_notes(run, context.dataset(run), taught=bool(run.frozen))
    return list(dict.fromkeys(found))


def _folder_name(plan: Planned) -> str:
    """Readable, and another one for other runs or other names of them."""
    named = {label: [run.hash for run in runs] for label, runs in plan.labelled.items()}
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:6]
    first = re.sub(r"[^A-Za-z0-9_.]+", "-", next(iter(named))).strip("-.")[:40]
    return f"{first}{f'-and-{len(named) - 1}-more' if len(named) > 1 else ''}-{digest}"


class _Costs:
    """What networks cost; each architecture is timed once, when nothing else is running.

    Networks with early exits cost what their thresholds make of them: each seed's is timed. Where no recipe wants times
    (`evaluate.latency: false`), only what is known already is shown.
    """

    def __init__(self, context: Context, *, timed: bool) -> None:
        self._context, self._timing, self._known = context, timed, dict[str, Cost]()

    def of(self, one: Contestant) -> Cost:
        """Of a contestant's network."""
        run = one.runs[0]
        if one.frozen is None and (run.folder / EXITS).is_file():
            return mean_cost([self._timed(each, "student") for each in one.runs])
        key = self._architecture(run, one)
        if key not in self._known:
            self._known[key] = self._timed(run, one.frozen or "student")
        return self._known[key]

    def _timed(self, run: Finished, which: str) -> Cost:
        found: Cost = run.folder.read("costs.json", keys=(which,))[which]
        if self._timing and not found["latency"]:
            remeasure(_with_latency(run.run), self._context)
            found = run.folder.read("costs.json", keys=(which,))[which]
        return found

    def _architecture(self, run: Finished, one: Contestant) -> str:
        if one.frozen is not None:
            return repr(run.run.determining["models"][one.frozen])
        described = run.folder.read("network.json")
        return json.dumps([described[key] for key in ("name", "arguments", "count", "channels", "height", "width")])


def _with_latency(run: Run) -> Run:
    return replace(run, recipe=replace(run.recipe, evaluate=replace(run.recipe.evaluate, latency=True)))
