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
        bool, typer.Option("--prune", help="Remove caches that no run refers to, finished or not.")
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

        for removed in pruned(runs):
            console.print(f"removed {removed}: no run refers to it")


def _fill(recipe: str, overrides: list[str] | None, runs: Runs, *, quiet: bool) -> None:
    from rich.console import Console

    from limbeck.cli import pipeline
    from limbeck.core.errors import RunError
    from limbeck.recipe.context import Context
    from limbeck.recipe.execute import fill
    from limbeck.recipe.preflight import preflight
    from limbeck.train.settings import Cached

    errors = Console(stderr=True)
    context = Context(say=lambda line: errors.print(line, highlight=False, soft_wrap=True), progress=not quiet)
    planned = pipeline.experiment(recipe, overrides or [], root=runs).runs
    for run in planned:
        if not isinstance(run.recipe.train.teacher_outputs, Cached):
            raise RunError(
                f"{run.name}: train.teacher_outputs is live, so there is nothing to store; expected cached: --set "
                "train.teacher_outputs=cached"
            )
    preflight([planned], context)
    for run in planned:
        fill(run, context)


def _list(found: list[Cache], console: Console) -> None:
    from limbeck.core.errors import RunError

    for one in found:
        try:
            state, about = _described(one)
        except RunError:
            state, about = "its manifest is damaged", None
        console.print(f"{one.folder}  {one.bytes / 1e6:,.1f} MB, {state}")
        if about:
            console.print(f"    {about}")
    if not found:
        console.print("no caches")


def _described(one: Cache) -> tuple[str, str | None]:
    """How far a cache is, and of whom it is; raises RunError when its manifest is damaged."""
    manifest = one.manifest()
    if not manifest:
        return "empty", None
    missing, key = len(one.missing(manifest)), manifest["key"]
    state = f"{missing} of {manifest['views']} views missing" if missing else "complete"
    kept = [manifest["kind"], *manifest["taps"]]
    views = f"{manifest['views']} views" if key["views"] else "not augmented"
    return state, f"{manifest['who']}: {manifest['rows']:,} samples, {views}, {', '.join(kept)}"


def _verify(found: list[Cache], console: Console) -> None:
    """Say of every cache whether it is sound; raise RunError when a file is not."""
    from limbeck.core.errors import RunError

    damaged = []
    for one in found:
        broken = one.damaged()
        damaged += broken
        missing = [] if broken else one.missing(one.manifest())
        unfinished = f", {len(missing)} views missing" if missing else ""
        console.print(f"{one.folder}: {f'{len(broken)} damaged' if broken else f'sound{unfinished}'}")
    if damaged:
        listed = "\n".join(str(path) for path in damaged)
        raise RunError(f"damaged files; delete them, and the next run stores them again:\n{listed}")
