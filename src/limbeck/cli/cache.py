"""`limbeck cache`: stored outputs of teachers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli.options import RUNS, Runs, Set

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.train.cache import Cache


def cache(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Fill the caches of this recipe ahead of its training.")
    ] = None,
    overrides: Set = None,
    runs: Runs = RUNS,
    show: Annotated[bool, typer.Option("--list", help="Show the caches of the folder of runs.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove caches that no run uses, and unfinished ones.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Store what a recipe's teachers give, ahead; or list, verify or prune what is stored."""
    from rich.console import Console

    from limbeck.core.errors import LimbeckError
    from limbeck.train.cache import caches

    if (recipe is not None) + show + verify + prune != 1:
        raise LimbeckError("expected one of: a recipe, --list, --verify, --prune; see limbeck cache --help")
    console = Console(highlight=False, soft_wrap=True)
    if recipe is not None:
        _fill(recipe, overrides, runs, quiet=quiet)
    elif show:
        _list(caches(runs), console)
    elif verify:
        _verify(caches(runs), console)
    else:
        from limbeck.recipe.cached import prune as pruned

        for removed, why in pruned(runs):
            console.print(f"removed {removed}: {why}")


def _fill(recipe: str, overrides: list[str] | None, runs: Runs, *, quiet: bool) -> None:
    from rich.console import Console

    from limbeck.cli import pipeline
    from limbeck.recipe.context import Context
    from limbeck.recipe.execute import fill

    errors = Console(stderr=True)
    context = Context(say=lambda line: errors.print(line, highlight=False, soft_wrap=True), progress=not quiet)
    for run in pipeline.experiment(recipe, overrides or [], root=runs).runs:
        fill(run, context)


def _list(found: list[Cache], console: Console) -> None:
    for one in found:
        manifest = one.manifest()
        missing, key = len(one.missing(manifest)), manifest.get("key", {})
        state = f"{missing} of {manifest.get('views', '?')} views missing" if missing else "complete"
        console.print(f"{one.folder}  {one.bytes / 1e6:,.1f} MB, {state}")
        if manifest:
            kept = [key["dtype"], *([f"top {key['top']}"] if key["top"] else []), *key["taps"]]
            views = f"{key['views']} views" if key["views"] else "not augmented"
            console.print(f"    {manifest['who']}: {manifest['rows']:,} samples, {views}, {', '.join(kept)}")
    if not found:
        console.print("no caches")


def _verify(found: list[Cache], console: Console) -> None:
    """Say of every cache whether it is sound; raise RunError when a file is not."""
    from limbeck.core.errors import RunError

    damaged = []
    for one in found:
        broken = one.damaged()
        damaged += broken
        console.print(f"{one.folder}: {f'{len(broken)} damaged' if broken else 'sound'}")
    if damaged:
        listed = "\n".join(str(path) for path in damaged)
        raise RunError(f"damaged files; delete them, and the next run stores them again:\n{listed}")
