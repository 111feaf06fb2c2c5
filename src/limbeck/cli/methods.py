"""`limbeck methods`: what can be used."""

from __future__ import annotations

import ast
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def methods(name: Annotated[str | None, typer.Argument(help="One method, in full.")] = None) -> None:
    """List the methods, or explain one: its paper, its equations, its hyper-parameters."""
    from rich.console import Console

    from limbeck.cli.listing import listing
    from limbeck.core.errors import LimbeckError, close
    from limbeck.methods import METHODS

    console = Console()
    if name is None:
        console.print(listing({known: _docstring(path).splitlines()[0] for known, path in METHODS.items()}))
        return
    if name not in METHODS:
        raise LimbeckError(f"no method is called {name!r}; {close(name, METHODS)}")
    console.print(_docstring(METHODS[name]), markup=False, highlight=False, soft_wrap=True)
    _show_keys(name, console)


def _docstring(path: str) -> str:
    """Of a method's file, which is read and not imported."""
    source = files("limbeck.methods") / f"{path.partition(':')[0]}.py"
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def _show_keys(name: str, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from limbeck.recipe.keys import keys_of
    from limbeck.recipe.names import METHODS

    keys = keys_of(METHODS.find(name))
    table = Table(title="\nHyper-parameters", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("key", "default", "allowed", "meaning"):
        table.add_column(column, header_style="dim", overflow="fold")
    for key in keys:
        table.add_row(*(Text(text) for text in (key.name, key.default, key.allowed, key.meaning)))
    console.print(table if keys else "\nNo hyper-parameters.")
