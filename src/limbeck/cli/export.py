"""`limbeck export`: files to deploy."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck.cli.options import RUNS, Reference, Runs, Set


def export(
    recipe: Reference,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="onnx (the default), safetensors or torch_export. Repeatable."),
    ] = None,
    overrides: Set = None,
    runs: Runs = RUNS,
) -> None:
    """Write a finished recipe's student in other formats, each compared with the live network on real images."""
    from rich.console import Console

    from limbeck.cli import pipeline
    from limbeck.recipe.context import Context

    planned = pipeline.experiment(recipe, overrides or [], root=runs)
    planned.require_finished()
    for entry in pipeline.export(planned, formats or ["onnx"], Context(), again=True):
        speed = f"; {entry['median_ms']:.3g} ms an image" if entry["median_ms"] else ""
        text = f"{entry['path']}: {entry['bytes']:,} bytes; largest difference {entry['max_difference']:.1e}{speed}"
        Console().print(text, highlight=False, soft_wrap=True)
