"""`limbeck methods`: what can be used, read from the sources without importing them."""

from __future__ import annotations

import ast
from importlib.resources import files
from typing import Annotated

import typer


def methods(name: Annotated[str | None, typer.Argument(help="One method, in full.")] = None) -> None:
    """List the methods, or explain one: its paper, its equations, its hyper-parameters."""
    from rich.console import Console

    from limbeck.core.errors import LimbeckError, close
    from limbeck.methods import METHODS

    console = Console()
    if name is None:
        for known, path in METHODS.items():
            console.print(f"[bold]{known:14}[/] {_docstring(path).splitlines()[0]}", highlight=False)
        return
    if name not in METHODS:
        raise LimbeckError(f"no method is called {name!r}; {close(name, METHODS)}")
    console.print(_docstring(METHODS[name]), markup=False, highlight=False)
    console.print("\nHyper-parameters", style="bold")
    for line in _fields(METHODS[name]):
        console.print(f"  {line}", markup=False, highlight=False)


def _tree(path: str) -> ast.Module:
    return ast.parse((files("limbeck.methods") / f"{path.partition(':')[0]}.py").read_text(encoding="utf-8"))


def _docstring(path: str) -> str:
    return ast.get_docstring(_tree(path)) or ""


def _fields(path: str) -> list[str]:
    """`name: type = default` of each hyper-parameter, as the source says it."""
    cls = next(node for node in _tree(path).body if isinstance(node, ast.ClassDef) and node.name == path.split(":")[1])
    fields = [node for node in cls.body if isinstance(node, ast.AnnAssign)]
    return [ast.unparse(field) for field in fields if "ClassVar" not in ast.unparse(field.annotation)] or ["none"]
