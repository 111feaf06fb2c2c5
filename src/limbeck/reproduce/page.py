"""The page of an outcome: one self-contained HTML file in the look of the run reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.core.files import write_atomically
from limbeck.recipe.versions import versions
from limbeck.report.drawing import Panel, chart
from limbeck.report.page import environment, require_packages
from limbeck.reproduce.experiment import Outcome, Picture

if TYPE_CHECKING:
    from limbeck.reproduce.runner import Reproduced

__all__ = ["render", "require_packages", "verdict", "write_page"]


def write_page(made: Reproduced, rows: list[dict[str, Any]]) -> None:
    """Write the page.

    Args:
        made: a judged experiment.
        rows: of its runs, as the outcome's file has them.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    write_atomically(made.page, render(made, rows).encode())


def render(made: Reproduced, rows: list[dict[str, Any]]) -> str:
    """The page's text."""
    return (
        environment()
        .get_template("reproduction.html")
        .render(
            title=made.experiment.title,
            name=made.name,
            paper=made.experiment.paper,
            quick=made.scale.quick,
            seeds=len(made.scale.seeds),
            verdict=verdict(made.outcome),
            outcome=made.outcome,
            panels=[_panel(picture) for picture in made.outcome.pictures],
            rows=rows,
            minutes=sum(row["seconds"] for row in rows) / 60,
            versions=versions(),
        )
    )


def verdict(outcome: Outcome) -> str:
    """How many claims held, in a few words."""
    held, count = sum(claim.held for claim in outcome.claims), len(outcome.claims)
    if held == count:
        return "The claim holds" if count == 1 else f"All {count} claims hold"
    if held == 0:
        return "The claim does not hold" if count == 1 else f"None of the {count} claims holds"
    return f"{held} of {count} claims {'holds' if held == 1 else 'hold'}"


def _panel(picture: Picture) -> Panel:
    svg = chart(
        picture.draw,
        name=picture.name,
        label=f"{picture.title}. {picture.caption}",
        width=picture.width,
        height=picture.height,
    )
    return Panel(picture.title, svg, picture.caption)
