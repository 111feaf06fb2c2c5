"""Results on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from limbeck.recipe.results import Results, Row

Cell = Callable[[Row], str]


def show(results: Results, console: Console, *, report: Path | None) -> None:
    """The table, the verdict, the exports and where the page is."""
    rows = results.rows()
    count = max(row.count for row in rows)
    title = results.title if count == 1 else f"{results.title}, mean ± std of {count} seeds"
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(f"{row.label}\n{row.network}", justify="right")
    for label, cell in _lines(rows, results.split):
        table.add_row(label, *[cell(row) for row in rows])
    console.print(table)
    console.print()
    console.print(results.verdict(), highlight=False)
    if results.split == "validation":
        console.print(
            "Note: there is no test split. These figures are of the validation images, which also chose the networks; "
            "data.splits, or data.test, can name or split off a test part.",
            highlight=False,
        )
    for note in results.notes:
        console.print(f"Note: {note}", highlight=False)
    for entry in results.exports:
        difference = f"largest difference from the live network {entry['max_difference']:.1e}"
        speed = f", {entry['median_ms']:.3g} ms an image" if entry.get("median_ms") else ""
        console.print(f"Exported {entry['path']}: {difference}{speed}", highlight=False, soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def _lines(rows: list[Row], split: str) -> list[tuple[str, Cell]]:
    """The table's lines, without those that no column has."""
    lines: list[tuple[str, str | None, Cell]] = [
        (f"{split} accuracy", "accuracy", lambda row: _metric(row, "accuracy", 100, "{:.2f}", " %")),
        (f"{split} errors", "errors", lambda row: _metric(row, "errors", 1, "{:.0f}")),
        ("top-5 accuracy", "top5", lambda row: _metric(row, "top5", 100, "{:.2f}", " %")),
        ("log-likelihood, negative", "nll", lambda row: _metric(row, "nll", 1, "{:.3f}")),
        ("calibration error", "ece", lambda row: _metric(row, "ece", 100, "{:.2f}", " %")),
        ("Brier score", "brier", lambda row: _metric(row, "brier", 1, "{:.3f}")),
        ("agrees with the teacher", "agreement", lambda row: _metric(row, "agreement", 100, "{:.2f}", " %")),
        ("KL from the teacher", "kl", lambda row: _metric(row, "kl", 1, "{:.3f}")),
        ("parameters", None, lambda row: f"{row.cost['parameters']:,}"),
        ("FLOPs per image", None, lambda row: f"{row.cost['flops']:,}"),
    ]
    made = [(label, cell) for label, name, cell in lines if name is None or any(name in row.mean for row in rows)]
    for index, timing in enumerate(rows[-1].cost["latency"]):
        made.append((f"ms a batch of {timing['batch']} (p95)", partial(_latency, index=index)))
    return made


def _metric(row: Row, name: str, scale: float, form: str, unit: str = "") -> str:
    if name not in row.mean:
        return "–"
    spread = f" ± {form.format(scale * row.std[name])}" if name in row.std else ""
    return form.format(scale * row.mean[name]) + spread + unit


def _latency(row: Row, *, index: int) -> str:
    if index >= len(row.cost["latency"]):
        return "–"
    timing = row.cost["latency"][index]
    return f"{timing['median_ms']:.3g} ({timing['p95_ms']:.3g})"
