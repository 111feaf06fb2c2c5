"""Profiles of trainings on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from limbeck.recipe.graph import Run
from limbeck.train.profile import Profile, cells


def show_profiles(profiles: Sequence[tuple[Run, Profile]], console: Console) -> None:
    """A table per training: seconds, share and milliseconds a step of each section, and what was idle."""
    for run, profile in profiles:
        if not profile.wall:  # stopped before its first step was prepared
            continue
        title = f"Training time of {run.folder.name}, seed {run.seed}, {profile.steps:,} steps"
        console.print(title, style="italic", highlight=False, soft_wrap=True)
        table = Table(header_style="bold", box=None, pad_edge=False)
        for heading in ("", "seconds", "share", "ms a step"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for row in profile.rows():
            table.add_row(row.name, *cells(row))
        table.add_row("total", *cells(profile.total()), style="bold")
        console.print(table)
        console.print(profile.idle(), highlight=False)
        console.print()


def show_untrained(runs: Sequence[Run], profiles: Sequence[tuple[Run, Profile]], console: Console) -> None:
    """Which of a recipe's own runs have no profile, and how to get one."""
    trained = {run.folder for run, _ in profiles}
    reused = [run.folder.name for run in runs if run.folder not in trained]
    if reused:
        they, them = ("it was", "it") if len(reused) == 1 else ("they were", "them")
        console.print(
            f"No profile of {', '.join(reused)}: {they} finished before, so nothing was trained. "
            f"To train {them} again and get one, add --fresh.",
            highlight=False,
        )
        console.print()
