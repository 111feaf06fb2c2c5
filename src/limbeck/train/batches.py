"""What the loop asks of data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Batches(Protocol):
    """An endless, repeatable stream: the same step always gives the same batches."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps that make one pass over the data."""

    def batches(self, start_step: int = 0) -> Iterator[Sequence[Any]]:
        """From an optimiser step on: the micro-batches of each step, of this process."""


class Cycle:
    """A list of batches, over and over, one per step: for small data and for a user's own lists.

    Args:
        batches: at least one.
    """

    def __init__(self, batches: Sequence[Any]) -> None:
        if not batches:
            raise ValueError("expected at least one batch, got none")
        self._batches = list(batches)

    @property
    def steps_per_epoch(self) -> int:
        """The length of the list."""
        return len(self._batches)

    def batches(self, start_step: int = 0) -> Iterator[Sequence[Any]]:
        """Batch `step % len` at each step."""
        step = start_step
        while True:
            yield [self._batches[step % len(self._batches)]]
            step += 1
