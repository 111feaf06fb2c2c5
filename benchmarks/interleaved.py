"""Two loops that take turns on equal streams of batches, block by block, and a stopwatch for each.

The bare loop runs inside the stream of batches that `fit` draws from, between two of fit's steps:

    fit bare | bare fit | fit bare | ...

so the two blocks of a pair are neighbours, and whatever else the machine is doing falls on both alike. The batches of a
block are made before it is timed. The device is waited for at the end of a block, not in it: as in a training, the
processor may run ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from limbeck.data.loader import Loader

Step = Callable[[Any], None]


@dataclass
class Stopwatch:
    """Of one side, per block: seconds a step by the wall clock and on the processor, and seconds a batch takes to make.

    Args:
        block: steps in a block.
        wait: returns when the device has done its work.
    """

    block: int
    wait: Callable[[], None]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)

    def take(self, stream: Iterator[Any]) -> list[Any]:
        """The batches of a block."""
        began = time.perf_counter()
        batches = list(islice(stream, self.block))
        self.wait()
        self.made.append((time.perf_counter() - began) / self.block)
        return batches

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Time what happens inside as the steps of a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wait()
        self.wall.append((time.perf_counter() - wall) / self.block)
        self.cpu.append((time.process_time() - cpu) / self.block)


class Interleaved:
    """The stream from which `fit` takes its batches; between two of fit's blocks it runs the bare loop's.

    Args:
        loader: a factory of equal streams, one for each side.
        bare: makes the hand-written step; called after fit's first block.
        block: steps per block.
        wait: returns when the device has done its work.
    """

    def __init__(
        self, loader: Callable[[], Loader], bare: Callable[[], Step], *, block: int, wait: Callable[[], None]
    ) -> None:
        self._fit_batches, self._bare_batches = loader(), loader().batches()
        self._make_bare, self._bare = bare, None
        self.fit, self.by_hand = Stopwatch(block, wait), Stopwatch(block, wait)

    @property
    def steps_per_epoch(self) -> int:
        """Of the data."""
        return self._fit_batches.steps_per_epoch

    def batches(self, start_step: int = 0) -> Iterator[list[Any]]:
        """What fit trains on; it is timed from a block's first batch to when it asks for the next block's."""
        stream = self._fit_batches.batches(start_step)
        while True:
            block = self.fit.take(stream)
            with self.fit.stepping():
                yield from block
            if len(self.fit.wall) % 2:
                self._run_by_hand()
                self._run_by_hand()

    def _run_by_hand(self) -> None:
        step = self._bare = self._bare or self._make_bare()
        block = self.by_hand.take(self._bare_batches)
        with self.by_hand.stepping():
            for (batch,) in block:
                step(batch)
