"""A recipe from its name to its results: runs, exports, report. What `limbeck run` and `limbeck.run` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.core.errors import RunError
from limbeck.data.dataset import Dataset
from limbeck.methods.supervised import Supervised
from limbeck.recipe.collect import collect
from limbeck.recipe.execute import Context, execute, remove
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run, baseline_of, plan
from limbeck.recipe.measure import tested_part
from limbeck.recipe.networks import delivered
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
    """
    context = context or Context()
    planned = experiment(reference, overrides, root=Path(root))
    main = context.processes.is_main_process
    if fresh and main:
        for one in planned.runs:
            remove(one)
    context.processes.wait_for_everyone()
    already = all(RunFolder(one.folder).state == "finished" for one in planned.all_runs)
    for one in planned.all_runs:
        execute(one, context)
    recipe = planned.resolved.recipe
    exports = export(planned, recipe.export, context) if main else []
    results = replace(collect(planned.runs, planned.baselines, context), exports=exports)
    if main and recipe.report and not (already and planned.report_path.is_file()):
        from limbeck.report import write_report

        write_report(results, planned.report_path)
    return results


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
    wanted = [name for name in formats if again or name not in known or not Path(known[name]["path"]).is_file()]
    if wanted:
        writers = {name: exporter(name) for name in wanted}  # an unknown format is refused before anything is loaded
        dataset = context.dataset(first)
        network, metadata = delivered(first, dataset)
        samples = _samples(dataset)
        for name, write in writers.items():
            context.say(f"exporting {name} and comparing it with the live network on {len(samples)} images")
            path = folder / f"exports/student{SUFFIXES[name]}"
            written = write(network, path, samples, metadata=metadata)
            known[name] = {**asdict(written), "path": str(written.path), "detail": dict(written.detail)}
        folder.update(exports=list(known.values()))
    return [known[name] for name in formats]


def _samples(dataset: Dataset) -> Any:
    import torch

    from limbeck.data.loader import evaluation_batches

    part = tested_part(dataset) or dataset.train
    rows = torch.arange(min(SAMPLES, len(part)))
    return next(iter(evaluation_batches(part.take(rows), batch=len(rows)))).images
