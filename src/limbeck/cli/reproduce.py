"""`limbeck reproduce`: papers' experiments, with a verdict on each claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli.options import RUNS, Runs

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.reproduce.runner import Reproduced

FULL_SEEDS, QUICK_SEEDS = 3, 1


def reproduce(
    name: Annotated[str | None, typer.Argument(help="An experiment; without one they are listed.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help=f"How many; {FULL_SEEDS}, with --quick {QUICK_SEEDS}.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller version, of a few minutes on two cores.")] = False,
    runs: Runs = RUNS,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Trainings at the same time; one per core, at most 8.")
    ] = None,
) -> None:
    """Run a paper's experiment, show its figures beside ours, and say of each claim whether it held."""
    from rich.console import Console

    console = Console()
    if name is None:
        _list(console)
        return
    from limbeck.recipe.context import Context
    from limbeck.reproduce.experiment import Scale
    from limbeck.reproduce.runner import reproduce as conducted

    errors = Console(stderr=True)
    scale = Scale(tuple(range(seeds or (QUICK_SEEDS if quick else FULL_SEEDS))), quick)
    context = Context(say=lambda line: errors.print(line, highlight=False, style="dim"))
    made = conducted(name, scale, root=runs, jobs=jobs, context=context)
    _show(made, console)
    if not all(claim.held for claim in made.outcome.claims):
        raise typer.Exit(1)


def _list(console: Console) -> None:
    from limbeck.reproduce import DESCRIPTIONS, EXPERIMENTS

    for name in EXPERIMENTS:
        console.print(f"[bold]{name:25}[/] {DESCRIPTIONS[name]}", highlight=False, soft_wrap=True)


def _show(made: Reproduced, console: Console) -> None:
    """The figures, the claims, the notes, and where the page is."""
    from rich.markup import escape
    from rich.table import Table

    count = len(made.scale.seeds)
    table = Table(
        title=escape(made.experiment.title), title_justify="left", header_style="bold", box=None, pad_edge=False
    )
    table.add_column("")
    table.add_column("paper", justify="right")
    table.add_column("ours" if count == 1 else f"ours, mean ± std of {count} seeds", justify="right")
    for line in made.outcome.lines:
        table.add_row(escape(line.what), escape(line.paper), escape(line.ours))
    console.print(table)
    console.print()
    for claim in made.outcome.claims:
        mark = "[green]yes[/]" if claim.held else "[bold red]NO[/] "
        console.print(f"{mark}  {escape(claim.text)}", highlight=False)
        console.print(f"     {escape(claim.evidence)}", highlight=False, style="dim")
    if made.scale.quick:
        console.print("Note: this is the quick version, smaller than the paper's; its figures are not comparable.")
    for note in made.outcome.notes:
        console.print(f"Note: {escape(note)}", highlight=False)
    console.print(f"Report: {made.page}", highlight=False, soft_wrap=True)
