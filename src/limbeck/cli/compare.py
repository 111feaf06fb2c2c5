"""`limbeck compare`: recipes and settings side by side, over seeds, with equal budgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli.options import RUNS, Runs, Set

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.compare.comparison import Comparison

SEEDS = 3


def compare(
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Paths or shipped names.")],
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="KEY=V,V,...", help="Values that a key takes one by one. Repeat it for a grid."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many of each.")] = SEEDS,
    overrides: Set = None,
    unequal: Annotated[bool, typer.Option("--unequal", help="Compare unequal budgets, too.")] = False,
    runs: Runs = RUNS,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Trainings at the same time; one per core, at most 8.")
    ] = None,
) -> None:
    """Train recipes, settings and their students alone over the same seeds, and say which differences are clear."""
    from rich.console import Console

    from limbeck.compare.grid import grid
    from limbeck.compare.runner import compare as compared
    from limbeck.recipe.context import Context

    errors = Console(stderr=True)
    context = Context(say=lambda line: errors.print(line, highlight=False, style="dim"))
    asked = grid(recipes, overrides or (), over or ())
    comparison, folder = compared(
        asked, seeds=tuple(range(seeds)), root=runs, jobs=jobs, unequal=unequal, context=context
    )
    _show(comparison, folder, Console())


def _show(comparison: Comparison, folder: Path, console: Console) -> None:
    """The table, the verdict, what may be chosen, why some did not help, and where the page is."""
    from rich.markup import escape

    console.print(_table(comparison))
    console.print()
    console.print(escape(comparison.verdict()), highlight=False)
    chosen = comparison.chosen()
    if chosen is not None:
        console.print(f"Best on the validation images: {escape(chosen.label)}", highlight=False)
    for text, numbers in _likely(comparison).items():
        console.print(f"Likely reason ({', '.join(map(str, numbers))}): {escape(text)}", highlight=False)
    for note in comparison.notes:
        console.print(f"Note: {escape(note)}", highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _likely(comparison: Comparison) -> dict[str, list[int]]:
    """What may be why some did not help -> their numbers in the table."""
    found: dict[str, list[int]] = {}
    for row in comparison.rows:
        likely = [finding.text for finding in row.findings if finding.likely]
        if row.findings and not likely:
            likely = ["none was found by measuring; the report shows the figures"]
        for text in likely:
            found.setdefault(text, []).append(row.number)
    return found


def _table(comparison: Comparison) -> object:
    from rich.markup import escape
    from rich.table import Table

    from limbeck.compare.page import line

    count = len(comparison.seeds)
    spread = f"mean ± std of {count} seeds" if count > 1 else "one seed"
    title = f"{comparison.title}: {comparison.split} accuracy, {spread}"
    table = Table(title=escape(title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in ("", "accuracy", "gain in points (95 %)", "size", "one image"):
        table.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    for row in comparison.rows:
        texts = line(row)
        gain = f"{texts['gain']} ({texts['ends']})" if texts["ends"] else texts["gain"]
        cells = [f"{texts['accuracy']} {texts['std']}".strip(), gain, texts["parameters"], texts["latency"]]
        table.add_row(f"{row.number}  {escape(row.label)}", *cells)
    return table
