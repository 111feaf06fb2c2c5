"""What an experiment is: the runs it asks for, and how it judges them when they are finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Scale:
    """How large an experiment is made.

    Args:
        seeds: of the networks that are compared.
        quick: a smaller version, of a few minutes on two cores.
    """

    seeds: tuple[int, ...]
    quick: bool


@dataclass(frozen=True)
class Line:
    """A figure of the paper beside ours.

    Args:
        what: is measured, with its unit.
        paper: the paper's figure, or a dash where it gives none.
        ours: with its spread.
    """

    what: str
    paper: str
    ours: str


@dataclass(frozen=True)
class Claim:
    """What the paper says, or left open, as a sentence that can be false.

    Args:
        text: the sentence.
        held: whether it is true here.
        evidence: the figures, and against which noise they were held.
    """

    text: str
    held: bool
    evidence: str


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Args:
        name: unique on the page.
        title: above it.
        caption: below it; says what a reader should see.
        draw: on empty axes, in the colours of `limbeck.report.drawing`.
        width: in units of which a text is 11 high.
        height: the same.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Axes], None]
    width: float = 360
    height: float = 250


@dataclass(frozen=True)
class Outcome:
    """What came of an experiment.

    Args:
        lines: figures beside the paper's.
        claims: whether each held.
        pictures: of the page.
        notes: what a reader must know, such as where the setting is not the paper's.
    """

    lines: tuple[Line, ...]
    claims: tuple[Claim, ...]
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Experiment(Protocol):
    """One experiment of a paper."""

    @property
    def title(self) -> str:
        """What it shows, as a sentence."""

    @property
    def paper(self) -> str:
        """Whose it is: authors, title, place in it."""

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """What has to be trained; may be nothing."""

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """What came of it, from the finished runs alone."""
