"""The plan of a method, as data: stages of turns. The loop executes it and contains no special case for any method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random


@dataclass(frozen=True)
class Turn:
    """One forward of the distiller, one backward, one optimiser step.

    Args:
        terms: name of the method's function that gives the loss terms.
        trains: what the step changes, as paths `role`, `role.module.path`, `adapters`, `adapters.name`;
            as a mapping, path -> multiplier of the learning rate.
    """

    terms: str = "terms"
    trains: tuple[str, ...] | Mapping[str, float] = ("student", "adapters")

    @property
    def rates(self) -> dict[str, float]:
        """Path -> multiplier of the learning rate."""
        return dict(self.trains) if isinstance(self.trains, Mapping) else dict.fromkeys(self.trains, 1.0)


@dataclass(frozen=True)
class Stage:
    """A part of training with optimisers and schedules of its own.

    Args:
        name: appears in the progress bar, the metrics and the curves.
        turns: executed in this order at every step.
        share: the stage's part of the whole training length.
    """

    name: str = "main"
    turns: tuple[Turn, ...] = (Turn(),)
    share: float = 1.0


@dataclass(frozen=True)
class At:
    """Where in training a call happens.

    Args:
        turn: the turn that is being executed.
        stage: its stage's name.
        phase: its stage's index, from 0.
        step: within the stage, from 0.
        epoch: passes over the data since training began, fractional.
        fraction: of the stage that is done, in [0, 1).
        draws: seeds `rng`: names the run's seed, the stage and the step.
    """

    turn: Turn
    stage: str = "main"
    phase: int = 0
    step: int = 0
    epoch: float = 0.0
    fraction: float = 0.0
    draws: str | int = field(default=0, compare=False)

    @cached_property
    def rng(self) -> Random:
        """For draws that must agree between processes (a sampled width, a sampled layer); the same in each turn."""
        return Random(self.draws)  # noqa: S311 - not for secrets
