"""A recipe from its name to its results: runs, exports, report. What `limbeck run` and `limbeck.run` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.core.errors import RunError
from limbeck.data.dataset import Dataset
from limbeck.methods.supervised import Supervised
from limbeck.recipe.collect import collect, names_of
from limbeck.recipe.context import Context
from limbeck.recipe.execute import bring_back, execute, remeasure, set_aside
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run, baseline_of, plan
from limbeck.recipe.measure import tested_part
from limbeck.recipe.networks import delivered
from limbeck.recipe.preflight import preflight
from limbeck.recipe.resolve import Resolved, resolve
from limbeck.recipe.results import Results

SAMPLES = 64
"""Real images on which an exported file is compared with the live network."""


@dataclass(frozen=True)
class Experiment:
    """The runs of a recipe.

    Args:
        resolved: the recipe.
        runs: one per seed.
        baselines: the student alone, one per seed; empty without `baseline: true`.
    """

    resolved: Resolved
    runs: tuple[Run, ...]
    baselines: tuple[Run, ...]

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """The runs, then their baselines."""
        return (*self.runs, *self.baselines)

    @property
    def folder(self) -> RunFolder:
        """Of the first seed; exports and the report lie there."""
        return RunFolder(self.runs[0].folder)

    @property
    def report_path(self) -> Path:
        """Where the page is."""
        count = len(self.runs)
        return self.folder / ("report.html" if count == 1 else f"report-{count}-seeds.html")

    def require_finished(self) -> None:
        """Raise RunError unless every run is finished."""
        for run in self.all_runs:
            if RunFolder(run.folder).state != "finished":
                raise RunError(f"{run.folder} is not finished; run it first: limbeck run {self.resolved.reference}")


def experiment(reference: str | Path, overrides: Sequence[str] | Mapping[str, Any] = (), *, root: Path) -> Experiment:
    """Plan a recipe's runs; nothing is trained.

    Args:
        reference: a recipe's path or shipped name.
        overrides: `a.b=value` texts, or dotted key -> value.
        root: the folder of all runs.

    Raises:
        RecipeError: with all problems of the recipe.
    """
    resolved = resolve(reference, overrides)
    runs = tuple(plan(resolved, seed=seed, root=root) for seed in resolved.recipe.all_seeds)
    compared = resolved.recipe.baseline and not isinstance(resolved.recipe.method, Supervised)
    baselines = tuple(baseline_of(run) for run in runs) if compared else ()
    return Experiment(resolved, runs, baselines)


def run(
    reference: str | Path,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    root: str | Path = "runs",
    fresh: bool = False,
    context: Context | None = None,
) -> Results:
    """Do everything that a recipe asks for; what is finished already is reused.

    Args:
        reference: a recipe's path or shipped name.
        overrides: `a.b=value` texts, or dotted key -> value.
        root: the folder of all runs.
        fresh: do this recipe's own runs again (teachers and baselines are still reused).
        context: how to talk to the person.

    Raises:
        LimbeckError: whatever is wrong, with its cause and its remedy.
        Exception: what a person's own network or method raises, with notes that say in which run and stage.
    """
    context = context or Context()
    planned = experiment(reference, overrides, root=Path(root))
    main = context.processes.is_main_process
    _prepare(planned, context, fresh=fresh)
    for one in planned.all_runs:
        execute(one, context)
    recipe = planned.resolved.recipe
    if main and recipe.evaluate.latency:
        _time(planned, context)
    exports = export(planned, recipe.export, context) if main else []
    if main:
        _explain(planned, context)
    results = replace(collect(planned.runs, planned.baselines, context), exports=exports)
    if main and recipe.report:
        _report(planned, results)
    return results


def _prepare(planned: Experiment, context: Context, *, fresh: bool) -> None:
    """Find what is wrong before anything is trained; with `fresh`, put finished runs aside until they are replaced."""
    asked = planned.runs if fresh and context.processes.is_main_process else ()
    for one in asked:
        set_aside(one)
    context.processes.wait_for_everyone()
    try:
        preflight((planned.runs, planned.baselines), context)
    except BaseException:
        for one in asked:
            bring_back(one)
        raise


def _time(planned: Experiment, context: Context) -> None:
    """Measure runs again that were finished when nobody asked how fast their networks are."""
    for one in planned.all_runs:
        if not RunFolder(one.folder).read("costs.json", keys=("student",))["student"]["latency"]:
            remeasure(one, context)


def _explain(planned: Experiment, context: Context) -> None:
    """Where distilling did not clearly help, measure once why that may be; `collect` finds it among the notes."""
    known, key = planned.folder.read("run.json").get("reasons", {}), names_of(planned.all_runs)
    results = collect(planned.runs, planned.baselines, context)
    if key in known or not results.of("teacher") or not results.gains or results.gain.better:
        return
    from limbeck.compare.reasons import findings
    from limbeck.evaluate.noise import Errors

    teacher, alone = (
        Errors.in_predictions([entry.predictions for entry in results.of(role)]) for role in ("teacher", "alone")
    )
    first, role = results.of("distilled")[0], planned.runs[0].frozen[0]
    found = findings(
        planned.runs[0], teacher.accuracy_over(alone), context, role=role, test_accuracy=first.metrics["accuracy"]
    )
    likely = [f"a likely reason: {finding.text}" for finding in found if finding.likely]
    planned.folder.update(reasons={**known, key: likely})


def _report(planned: Experiment, results: Results) -> None:
    """Write the page, unless the one that is there shows the same runs and exports."""
    shown = [run.folder.name for run in planned.all_runs] + [str(entry) for entry in results.exports]
    reports, path = planned.folder.read("run.json").get("reports", {}), planned.report_path
    if path.is_file() and reports.get(path.name) == shown:
        return
    from limbeck.report import write_report

    write_report(results, path)
    planned.folder.update(reports={**reports, path.name: shown})


def export(
    planned: Experiment, formats: Sequence[str], context: Context, *, again: bool = False
) -> list[dict[str, Any]]:
    """Write the first seed's delivered network in each format, verified on real samples; existing files are reused.

    Raises:
        ExportError: a file differs from the live network; it is not left behind.
    """
    from limbeck.export import SUFFIXES, exporter

    folder, first = planned.folder, planned.runs[0]
    known = {entry["format"]: entry for entry in folder.read("run.json").get("exports", ())}
    wanted = [name for name in formats if again or name not in known or not (folder / known[name]["path"]).is_file()]
    if wanted:
        writers = {name: exporter(name) for name in wanted}  # an unknown format is refused before anything is loaded
        dataset = context.dataset(first)
        network, metadata = delivered(first, dataset)
        samples = _samples(dataset)
        for name, write in writers.items():
            context.say(f"exporting {name} and comparing it with the live network on {len(samples)} images")
            place = f"exports/student{SUFFIXES[name]}"
            written = write(network, folder / place, samples, metadata=metadata)
            known[name] = {**asdict(written), "path": place, "detail": dict(written.detail)}
        folder.update(exports=list(known.values()))
    return [{**known[name], "path": str(folder / known[name]["path"])} for name in formats]


def _samples(dataset: Dataset) -> Any:
    """Images drawn evenly from the tested ones, so that no class is left out where they are in order."""
    import torch

    from limbeck.data.loader import evaluation_batches

    part = tested_part(dataset) or dataset.train
    rows = torch.linspace(0, len(part) - 1, min(SAMPLES, len(part))).round().long()
    return next(iter(evaluation_batches(part.take(rows), batch=len(rows)))).images
