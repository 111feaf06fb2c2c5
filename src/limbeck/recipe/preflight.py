"""What can go wrong in a recipe's runs, found before the first of them is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from limbeck.core.distiller import Distiller
from limbeck.core.errors import DataError, LimbeckError, MethodError, ModelError, TapError
from limbeck.data.dataset import Dataset
from limbeck.methods.supervised import Supervised
from limbeck.recipe.batches import training_batches
from limbeck.recipe.bridging import Joined, descriptions
from limbeck.recipe.cached import check_stored
from limbeck.recipe.context import Context
from limbeck.recipe.descriptions import Description
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run
from limbeck.recipe.measure import tested_part
from limbeck.recipe.networks import join
from limbeck.train.devices import check_bfloat16, check_precision, check_trackers
from limbeck.train.optimizers import check_groups
from limbeck.train.speed import check_compilable, check_compiler
from limbeck.train.trial import try_out

TRIED = 8
"""Samples on which first steps are tried: as many as teach whether a step works, and no more memory than an answer."""


def preflight(several: Iterable[Sequence[Run]], context: Context) -> int:
    """Put together runs that are not finished, and every run before them, and try their first steps; none is trained.

    Args:
        several: for each recipe its seeds, which differ in nothing that can fail: of these the first that is not
            finished stands for all.
        context: of the command.

    Returns:
        How many stages were tried.

    Raises:
        LimbeckError: what the first of them would have met only after others were trained.
        Exception: whatever a person's own network or method raises; a note says in which run, stage and turn.
    """
    first = [next((run for run in seeds if not _finished(run)), seeds[0]) for seeds in several if seeds]
    every = {one.folder: one for last in first for one in (*last.before(), last)}
    return sum(_try(run, context) for run in every.values() if not _finished(run))


def _finished(run: Run) -> bool:
    return RunFolder(run.folder).state == "finished"


def _try(run: Run, context: Context) -> int:
    """Try a run's steps on a few samples; where these fail, on its whole first batch, which some methods need."""
    distiller, _, example = assemble(run, context)
    precision = run.recipe.train.precision
    try:
        if len(example.images) > TRIED:
            with suppress(Exception):
                return try_out(distiller, type(example)(*(part[:TRIED] for part in example)), precision=precision)
        return try_out(distiller, example, precision=precision)
    except Exception as error:
        place = f" ({where}: method)" if (where := run.places.get("method")) else ""
        error.add_note(f"of {run.name}{place}, whose first step was tried before anything is trained")
        raise
    finally:
        distiller.close()


def assemble(run: Run, context: Context) -> tuple[Distiller, dict[str, Joined], Any]:
    """The distiller of a run, its networks, and its first batch.

    Networks are untrained where the runs that give them are not finished.

    Raises:
        LimbeckError: data, networks, method and training do not fit together.
    """
    recipe = run.recipe
    dataset = loaded(run, context)
    check_precision(recipe.train.precision)
    check_trackers(recipe.train.trackers)
    check_compiler(recipe.train.compile, context.processes.device)
    check_stored(run, classes=len(dataset.classes))
    joined: dict[str, Joined] = {}
    looks = partial(untrained, context=context)
    for role in recipe.models:
        with _placing(run, f"models.{role}", ModelError):
            joined[role] = join(run, role, dataset, frozen=role in run.weighted, untrained=looks)
    known = descriptions(joined, dataset)
    models = {role: one.network.to(context.processes.device) for role, one in joined.items()}
    with _placing(run, "data", DataError):
        example = next(iter(training_batches(run, dataset, context).batches()))[0]
    with _placing(run, "method", MethodError, TapError):
        distiller = Distiller(recipe.method, recipe.task, models, example, seed=run.seed)
    distiller.to(context.processes.device)  # with the adapters, which were made beside it
    check_compilable(recipe.train.compile, distiller)
    with _placing(run, "method", MethodError):
        context.untrained[run.hash] = known.of(distiller.deliver())
    if recipe.train.precision == "bf16" and context.processes.device.type == "cpu":
        check_bfloat16(distiller)
    if stages := distiller.method.plan():
        paths = [group["path"] for stage in stages for group in distiller.param_groups(stage)]
        check_groups(paths, recipe.train.groups)
    return distiller, joined, example


def loaded(run: Run, context: Context) -> Dataset:
    """The data of a run, which have what it needs.

    Raises:
        DataError: they cannot be read, or lack a split or labels.
        ModelError: a specialist's classes cannot be told.
    """
    with _placing(run, "data", DataError, ModelError):
        dataset = context.dataset(run)
        _check_data(run, dataset)
    return dataset


def untrained(run: Run, context: Context) -> Description:
    """How the network is built that an unfinished run will deliver; put together once per command.

    Raises:
        LimbeckError: as `assemble` does.
    """
    if run.hash not in context.untrained:
        assemble(run, context)[0].close()
    return context.untrained[run.hash]


def _check_data(run: Run, dataset: Dataset) -> None:
    """What a run needs of its data: something to measure on, labels, and a validation split where one is chosen on."""
    method = run.recipe.method
    if tested_part(dataset) is None:
        raise DataError(
            f"{run.name}: the data has neither a test nor a validation split, so nothing could be measured; "
            "set data.validation or data.test above 0"
        )
    if method.needs_labels() and not bool((dataset.train.labels >= 0).any()):
        alone = isinstance(method, Supervised)  # perhaps as what is compared with, or as the first teacher
        remedy = "set data.labelled" + (", or do without this run: baseline: false, models.teacher" if alone else "")
        why = "nothing teaches the answers" if method.uses_unlabelled() else "there is nothing to learn from"
        raise DataError(f"{run.name}: no training image has a label, so {why}; {remedy}")
    if method.uses_validation() and dataset.validation is None:
        raise DataError(
            f"{run.name}: {type(method).__name__} chooses what it delivers on a validation split, and the data "
            "has none; set data.validation above 0, such as data.validation: 0.1"
        )


@contextmanager
def _placing(run: Run, key: str, *kinds: type[LimbeckError]) -> Iterator[None]:
    """Errors of these kinds get the place in the recipe's file, and the key unless their text begins with that."""
    try:
        yield
    except kinds as error:
        if error.placed:
            raise
        where, text = run.places.get(key, ""), str(error)
        named = text if text.startswith(key) or where.endswith(key) else f"{key}: {text}"  # `--set method` says it
        told = type(error)(f"{where}: {named}" if where else named)
        told.placed = bool(where)
        raise told from error
