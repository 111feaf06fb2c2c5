"""Names and what stands behind them, in two columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def listing(entries: Mapping[str, str]) -> Table:
    """One row for each name; a long description goes on below itself, not below the name.

    Args:
        entries: name -> description.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, description in entries.items():
        table.add_row(Text(name), Text(description))
    return table
