"""Batches during which somebody presses Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

from limbeck.train.batches import Cycle
from little import image_batch


class Stopped(Cycle):
    """Another batch at each step; the interrupt comes while that of step `stop` is loaded."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__([image_batch(8, seed=seed) for seed in range(5)])
        self._stop = stop

    def batches(self, start_step: int = 0) -> Iterator[Any]:
        for step, micro in enumerate(super().batches(start_step), start=start_step):
            if step == self._stop:
                os.kill(os.getpid(), signal.SIGINT)
            yield micro
