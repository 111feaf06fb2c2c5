"""What the loop asks of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
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


class SameEpoch:
    """Batches of a part of the data, counted in epochs of the whole: equal budgets are equal numbers of steps.

    Args:
        batches: of the part.
        steps_per_epoch: of the whole.
    """

    def __init__(self, batches: Batches, steps_per_epoch: int) -> None:
        self._batches, self._steps = batches, steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Of the whole."""
        return self._steps

    def batches(self, start_step: int = 0) -> Iterator[Any]:
        """Of the part."""
        return self._batches.batches(start_step)


class Repeatable:
    """An iterable that can be iterated again and again, from a function that gives an iterator once."""

    def __init__(self, make: Callable[[Any], Iterable[Any]], part: Any) -> None:
        self._make, self._part = make, part

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make(self._part))
