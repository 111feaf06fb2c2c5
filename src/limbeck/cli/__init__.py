"""The command line: one file per verb. Importing it imports no torch; a verb imports what it needs when it runs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; errors that limbeck raises on purpose are printed without a traceback."""
    # DDP suggests a faster option on every start; it would break methods whose turns train different parts.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from limbeck.cli.app import app
    from limbeck.core.errors import Interrupted, LimbeckError

    try:
        app(standalone_mode=True)
    except Interrupted as stopped:
        _complain(str(stopped))
        sys.exit(130)
    except LimbeckError as error:
        _complain("\n".join((str(error), *getattr(error, "__notes__", ()))))
        sys.exit(1)


def _complain(text: str) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold red]error[/]", end="\n" if "\n" in text else " ")
    console.print(text, markup=False)
