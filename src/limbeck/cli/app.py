"""The verbs."""

from __future__ import annotations

import typer

from limbeck.cli import cache, check, compare, evaluate, export, methods, recipes, report, reproduce, run, schema, taps

app = typer.Typer(
    name="limbeck",
    help="Knowledge distillation on PyTorch: every method as published, honestly compared, from one command.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for verb in (run, compare, reproduce, check, evaluate, report, export, cache, taps, methods, recipes, schema):
    name = verb.__name__.rpartition(".")[2]
    app.command(name)(getattr(verb, name))


def _show_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"limbeck {version('limbeck')}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print limbeck's version.", is_eager=True, callback=_show_version
    ),
) -> None:
    pass
