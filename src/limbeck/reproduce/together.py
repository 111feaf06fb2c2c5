"""Several experiments under one name: each keeps its labels, its claims and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from limbeck.reproduce.experiment import Experiment, Outcome, Scale
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked


@dataclass(frozen=True)
class Together:
    """Parts that are done and judged one by one.

    Args:
        title: of the whole.
        paper: of the whole.
        parts: what a part is about, such as "MNIST" -> the experiment. They share one folder and one space of labels.
    """

    title: str
    paper: str
    parts: Mapping[str, Experiment]

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """All that the parts ask for."""
        return tuple(chain.from_iterable(part.runs(scale) for part in self.parts.values()))

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """One outcome after the other; every line, claim and note says of which part it is."""
        outcomes = [_said_of(name, part.judge(done, scale)) for name, part in self.parts.items()]
        return Outcome(
            tuple(chain.from_iterable(one.lines for one in outcomes)),
            tuple(chain.from_iterable(one.claims for one in outcomes)),
            tuple(chain.from_iterable(one.pictures for one in outcomes)),
            tuple(dict.fromkeys(chain.from_iterable(one.notes for one in outcomes))),
        )


def _said_of(name: str, outcome: Outcome) -> Outcome:
    return Outcome(
        tuple(replace(line, what=f"{name}: {line.what}") for line in outcome.lines),
        tuple(replace(claim, text=f"{name}: {claim.text}") for claim in outcome.claims),
        tuple(
            replace(picture, name=f"{name}-{picture.name}", title=f"{name}: {picture.title}")
            for picture in outcome.pictures
        ),
        tuple(f"{name}: {note}" for note in outcome.notes),
    )
