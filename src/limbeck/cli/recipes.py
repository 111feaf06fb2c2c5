"""`limbeck recipes`: the recipes that come with limbeck."""

from __future__ import annotations

from typing import Annotated

import typer


def recipes(name: Annotated[str | None, typer.Argument(help="One recipe, in full.")] = None) -> None:
    """List the shipped recipes, or print one to copy and change."""
    from pathlib import Path

    from rich.console import Console

    from limbeck.cli.listing import listing
    from limbeck.recipe.shipped import find, shipped

    console = Console()
    if name is not None:
        console.print(find(name, folder=Path.cwd()).read_text(encoding="utf-8"), markup=False, end="", soft_wrap=True)
        return
    console.print(listing({entry.name: entry.description for entry in shipped()}))
