"""From finished runs to one table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from limbeck.core.errors import RunError
from limbeck.core.net import Kind
from limbeck.data.dataset import Dataset
from limbeck.evaluate.classification import compare
from limbeck.evaluate.exits import SLOWER
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.context import Context
from limbeck.recipe.folder import EXITS, RunFolder, Which
from limbeck.recipe.graph import Run, baseline_of, network_name, plain_name
from limbeck.recipe.models import From
from limbeck.recipe.results import Entry, Results, Role


def collect(runs: Sequence[Run], baselines: Sequence[Run], context: Context) -> Results:
    """The results of a recipe's runs.

    Args:
        runs: one per seed, finished.
        baselines: the same for the student alone; empty if there is no baseline.
        context: for the data.

    Raises:
        RunError: a run is not finished, or the data has no split to measure on.
    """
    first = runs[0]
    frozen = first.frozen
    entries = _teachers(runs, frozen[0]) if frozen else []
    # the teacher of the same seed, as students have that learn from it
    entries += [_student(run, "alone", frozen, teacher=own) for run, own in zip(baselines, runs, strict=False)]
    taught = [_student(run, "distilled" if frozen else "trained", frozen, teacher=run) for run in runs]
    unequal = _size_notes(taught, entries[-1]) if baselines else []
    entries += taught
    folder = RunFolder(first.folder)
    facts = folder.read("run.json", keys=("versions", "notes"))
    explained = facts.get("reasons", {}).get(names_of([*runs, *baselines]), ())
    dataset = context.dataset(first)
    return Results(
        title=first.recipe.name or first.name,
        recipe=first.canonical,
        classes=dataset.classes,
        dataset=dataset,
        entries=entries,
        exports=[{**entry, "path": str(folder / entry["path"])} for entry in facts.get("exports", ())],
        versions=facts["versions"],
        notes=[
            *facts["notes"],
            *label_notes(first, dataset, taught=bool(frozen)),
            *_peer_notes(runs),
            *_exit_notes(runs),
            *generation_notes(runs),
            *same_notes(runs),
            *unequal,
            *explained,
        ],
    )


def names_of(runs: Sequence[Run]) -> str:
    """Which runs something is about, as a key of `run.json`."""
    return " ".join(run.folder.name for run in runs)


def label_notes(run: Run, dataset: Dataset, *, taught: bool) -> list[str]:
    """Where a gain comes from when only some training images have labels."""
    known, total = int((dataset.train.labels >= 0).sum()), len(dataset.train)
    if known == total or not run.recipe.method.uses_unlabelled():
        return []
    alone = f"only {known} of the {total} training images have a label. The student alone learns from these {known}; "
    if run.recipe.method.needs_labels():
        how, what = (
            ("under the teacher", "its layers, not its answers")
            if taught
            else ("trained so", "to agree, not what to answer")
        )
        return [
            f"{alone}{how} the {total - known} without one are in its batches too. They teach {what}, and leave fewer "
            "labels to a step."
        ]
    more = f"under the teacher it also learns from the {total - known} without one. That is where a gain comes from."
    return [f"{alone}{more}"]


def generation_notes(runs: Sequence[Run]) -> list[str]:
    """How each generation did, as its own runs measured it, over the seeds; generation 0 learnt from labels only.

    Whether generations begin anew is said too: those whose student comes from a run all have its weights first.

    Args:
        runs: one per seed.
    """
    each = [_generations(run) for run in runs]
    count = min(map(len, each))  # a teacher that was given may be the student alone of one seed, and so of one chain
    if count < 2:
        return []
    found = []
    for several in zip(*(chain[-count:] for chain in each), strict=True):
        measured = [_accuracy(run) for run in several]
        found.append(f"{several[0].recipe.generations or 0}: {_over_seeds(measured)}")
    same = isinstance(runs[0].recipe.models["student"], From)
    begun = ["each generation begins with the weights of the given student, and not with new ones"] if same else []
    return [f"test accuracy by generation: {', '.join(found)}", *begun]


def _accuracy(run: Run) -> float:
    which = _selected(run)
    return float(RunFolder(run.folder).read("evaluation.json", keys=(which,))[which]["accuracy"])


def _over_seeds(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.2%} ± {statistics.stdev(values):.2%}" if len(values) > 1 else f"{mean:.2%}"


def _generations(run: Run) -> list[Run]:
    """The run, and before it those of earlier generations, with the network that learnt from labels only.

    A teacher that was given is no generation: it may be another network, measured on other images.
    """
    if not run.recipe.generations:
        return []
    before = run.upstream.get("teacher")
    if before is None:
        return [run]
    alone = [before] if before.hash == baseline_of(run).hash else []
    return [*(_generations(before) or alone), run]


def _peer_notes(runs: Sequence[Run]) -> list[str]:
    """Which of several networks was delivered, where one was chosen."""
    if sum(kind is Kind.TRAINED for kind in runs[0].recipe.method.roles().values()) < 2:
        return []
    found = [(run, RunFolder(run.folder).described(_selected(run)).get("role")) for run in runs]
    chosen = [f"{role} (seed {run.seed})" if len(runs) > 1 else role for run, role in found if role]
    return [f"delivered: {', '.join(chosen)}"] if chosen else []


def _exit_notes(runs: Sequence[Run]) -> list[str]:
    """Of early exits: how many samples leave, and whether that saves time, which the mean of FLOPs does not tell."""
    files = [RunFolder(run.folder) / EXITS for run in runs]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files if path.is_file()]
    if not found:
        return []
    leave = statistics.fmean(1 - one["exits"][-1]["share"] for one in found)
    told = f"{leave:.0%} of the tested samples leave at exits before the end"
    if all(one["early"]["mean_ms"] is not None for one in found):
        spent = statistics.fmean(one["early"]["mean_ms"] / one["network"]["mean_ms"] for one in found)
        told += f"; a mean sample takes {spent:.0%} of the time of the same network without exits"
        told += ", heads included: early exits do not pay here" if spent > SLOWER else ", heads included"
    return [told]


def _selected(run: Run) -> Which:
    return RunFolder(run.folder).read("run.json", keys=("selected",))["selected"]


def same_notes(runs: Sequence[Run]) -> list[str]:
    """Without training, one network is the same under each seed."""
    if runs[0].recipe.method.trains or len({repr(run.determining["models"]) for run in runs}) == len(runs):
        return []
    return [
        "nothing is trained, and several seeds have the same network: their spread says nothing. `seed: inherit` in "
        "models.student.from takes the network of each seed"
    ]


def _size_notes(taught: Sequence[Entry], alone: Entry) -> list[str]:
    """A larger network than the student alone is not its equal."""
    sizes = [entry.cost["parameters"] for entry in taught if entry.cost["parameters"] != alone.cost["parameters"]]
    if not sizes:
        return []
    return [
        f"what is delivered has {max(sizes):,} parameters and the student alone has {alone.cost['parameters']:,}: they "
        "are different networks, and the difference in accuracy is not the method's alone"
    ]


def _teachers(runs: Sequence[Run], role: str) -> list[Entry]:
    """As many as there are different ones: each seed may have a teacher of its own."""
    different = {repr(run.determining["models"][role]): run for run in reversed(runs)}
    return [_teacher(run, role) for run in reversed(different.values())]


def _teacher(run: Run, role: str) -> Entry:
    folder = RunFolder(run.folder)
    upstream = run.upstream.get(role)
    trained = RunFolder(upstream.folder) if upstream is not None else None
    return _entry(
        "teacher",
        run,
        role,
        seed=upstream.seed if upstream is not None else 0,
        network=network_name(run, role),
        cost=folder.read("costs.json", keys=(role,))[role],
        curves=trained.curves if trained else (),
        seconds=trained.read("run.json", keys=("seconds",))["seconds"] if trained else None,
    )


def _student(run: Run, role: Role, frozen: Sequence[str], *, teacher: Run) -> Entry:
    folder = RunFolder(run.folder)
    facts = folder.read("run.json", keys=("selected", "seconds"))
    entry = _entry(
        role,
        run,
        facts["selected"],
        seed=run.seed,
        network=_delivered_name(run, facts["selected"]),
        cost=folder.read("costs.json", keys=("student",))["student"],
        curves=folder.curves,
        seconds=facts["seconds"],
        selected=facts["selected"],
    )
    if role != "alone" or not frozen:
        return entry
    return _compared(entry, Predictions.load(RunFolder(teacher.folder) / f"predictions-{frozen[0]}.safetensors"))


def _delivered_name(run: Run, which: Which) -> str:
    """Of the architecture that came out: a peer of the student's may be of another."""
    described = RunFolder(run.folder).described(which)
    return plain_name(described["name"]) if "name" in described else network_name(run)


def _entry(role: Role, run: Run, name: str, **facts: Any) -> Entry:
    folder = RunFolder(run.folder)
    measured = folder.read("evaluation.json", keys=(name,))[name]
    if not measured:
        raise RunError(f"{run.name}: the data has neither a test nor a validation split, so nothing can be measured")
    metrics = {key: value for key, value in measured.items() if key not in ("per_class", "samples")}
    predictions = Predictions.load(folder / f"predictions-{name}.safetensors")
    return Entry(
        role, folder=folder.path, metrics=metrics, per_class=measured["per_class"], predictions=predictions, **facts
    )


def _compared(entry: Entry, teacher: Predictions) -> Entry:
    """A student that never saw the teacher, compared with it all the same."""
    return replace(entry, metrics={**entry.metrics, **compare(entry.predictions, teacher)})
