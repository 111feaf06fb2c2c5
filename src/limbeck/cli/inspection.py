"""What `limbeck check` finds out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from limbeck.cli.pipeline import Experiment
from limbeck.core.distiller import Distiller
from limbeck.core.files import write_atomically
from limbeck.core.operations import operations
from limbeck.core.plan import At
from limbeck.evaluate.cost import flops, parameters
from limbeck.evaluate.memory import peak_memory
from limbeck.recipe.batches import training_batches
from limbeck.recipe.context import Context
from limbeck.recipe.decided import decided_notes
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run, network_name
from limbeck.recipe.held_out import held_out_notes
from limbeck.recipe.preflight import assemble, loaded, preflight
from limbeck.report.sheet import caption, sheet
from limbeck.train.fit import stage_lengths

if TYPE_CHECKING:
    from rich.table import Table


LOOKED_AT = 32
"""Images of the first batch that are shown."""


def inspect_run(planned: Experiment, context: Context, *, images: Path | None = None) -> Iterator[Any]:
    """Lines and tables for the console: runs, data, networks, plan.

    Args:
        planned: the recipe's runs.
        context: for the data.
        images: receives the first training batch as a picture; absent = none is drawn.
    """
    yield f"[bold]{planned.resolved.name}[/]  {planned.resolved.reference}"
    yield _runs(planned)
    run = planned.runs[0]
    dataset = loaded(run, context)
    facts = ", ".join(f"{key} {value}" for key, value in dataset.description.items() if value not in ("", None))
    yield f"\n[bold]Data[/]  {facts}"
    distiller, joined, example = assemble(run, context)
    if images is not None:
        captions = [caption(label, dataset.classes) for label in example[1][:LOOKED_AT]]
        write_atomically(images, sheet(example[0][:LOOKED_AT], captions))
        yield f"The first {len(captions)} images of the first batch: {images}"
    yield _networks(run, distiller, example)
    for one in joined.values():
        yield from (f"Note: {note}" for note in one.notes)
    yield from (f"Note: {note}" for note in held_out_notes(run, context.dataset))
    yield from (f"Note: {note}" for note in decided_notes(distiller, run.recipe.method))
    if run.recipe.method.trains:
        yield _plan(run, distiller, training_batches(run, dataset, context).steps_per_epoch, example)
    distiller.close()
    del distiller, joined, example  # or their memory would be held beside that of what is tried now
    tried = preflight((planned.runs, planned.baselines), context)
    if tried:
        yield f"\nNothing was trained. The first step of each stage to come ({tried}) was tried on some images."


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _runs(planned: Experiment) -> Table:
    table = _table("\nRuns", "folder", "seed", "state")
    every = [one for run in planned.all_runs for one in (*run.before(), run)]
    for run in {run.folder: run for run in every}.values():
        table.add_row(str(run.folder), str(run.seed), RunFolder(run.folder).state)
    return table


def _networks(run: Run, distiller: Distiller, example: Any) -> Table:
    images = example[0]
    table = _table(
        "\nNetworks", "role", "network", "kind", "parameters", "FLOPs an image", f"memory, batch {len(images)}"
    )
    for role in distiller.nets:
        net = distiller[role]
        name = network_name(run, role) if role in run.recipe.models else "–"
        memory = peak_memory(net.model, images)["bytes"] / 2**20
        table.add_row(
            role,
            name,
            str(net.kind),
            f"{parameters(net.model):,}",
            f"{flops(net.model, images):,}",
            f"{memory:.1f} MiB",
        )
    delivered = distiller.deliver()
    if "student" in distiller.nets and parameters(delivered) != parameters(distiller["student"].model):
        table.add_row("delivered", "–", "–", f"{parameters(delivered):,}", f"{flops(delivered, images):,}", "–")
    for name, adapter in distiller.adapters.items():
        if not parameters(adapter):
            continue
        table.add_row(name, type(adapter).__name__, "adapter", f"{parameters(adapter):,}", "–", "–")
    return table


def _plan(run: Run, distiller: Distiller, steps_per_epoch: int, example: Any) -> Table:
    stages = tuple(distiller.method.plan())
    table = _table("\nPlan", "stage", "steps", "turn in a step", "trains", "parameters", "forward FLOPs an image")
    for phase, (stage, steps) in enumerate(zip(stages, stage_lengths(stages, run.train, steps_per_epoch), strict=True)):
        for number, at in enumerate(distiller.turns(0, steps, phase=phase, epoch=0.0), start=1):
            trained = {id(p): p.numel() for path in at.turn.rates for p in distiller.parameters_of(path)}
            forward = _forward(distiller, example, at)
            paths = ", ".join(at.turn.rates)
            place = (stage.name, f"{steps:,}") if number == 1 else ("", "")  # turns of one step, not further steps
            turn = at.turn.terms if len(stage.turns) == 1 else f"{number} of {len(stage.turns)}: {at.turn.terms}"
            table.add_row(*place, turn, paths, f"{sum(trained.values()):,}", forward)
    return table


def _forward(distiller: Distiller, example: Any, at: At) -> str:
    """What all networks of a step do together: to teach costs more than to learn alone."""
    with torch.no_grad():
        return f"{operations(lambda: distiller(example, at)) // len(example[0]):,}"
