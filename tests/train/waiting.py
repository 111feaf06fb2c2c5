"""What runs in each of two processes that lose patience quickly; started by `test_devices.py`, without pytest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn

from limbeck.core.errors import RunError
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.devices import main_alone
from limbeck.train.fit import fit
from little import image_batch
from train.fakes import distiller, plain

WORLD = 2
TIMEOUT, WORK = 1.0, 3.0
"""Seconds: of the processes' own group, and for which the main process works alone."""


def _joined(rank: int, port: int) -> PartialState:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(WORLD), LOCAL_WORLD_SIZE=str(WORLD), OMP_NUM_THREADS="1")
    return PartialState(cpu=True, timeout=timedelta(seconds=TIMEOUT))


def work(rank: int, folder: str, port: int, fails: bool) -> None:
    """Leave what this process saw in a file."""
    processes = _joined(rank, port)
    start = time.monotonic()
    seen = "waited"
    try:
        with main_alone(processes) as main:
            if main:
                time.sleep(WORK)
                if fails:
                    raise ValueError("the disk is full")
    except (RunError, ValueError) as error:
        seen = str(error)
    Path(folder, str(rank)).write_text(f"{seen} {time.monotonic() - start > WORK - TIMEOUT}")


class Slow(Classification):
    """Takes its time to evaluate."""

    def evaluate(self, model: nn.Module, train: Iterable[Any], test: Iterable[Any]) -> dict[str, float]:
        time.sleep(WORK)
        return super().evaluate(model, train, test)


def train(rank: int, folder: str, port: int) -> None:
    """Train for two steps, look at the validation split after each, and leave figures and weights in files."""
    _joined(rank, port)
    made = distiller(task=Slow())
    settings = plain("2 steps", evaluate="1 steps", ema=0.5)
    fitted = fit(made, Cycle([image_batch(8)]), settings, validation=[image_batch(4)], progress=False)
    Path(folder, str(rank)).write_text(f"{fitted.steps} {sorted(fitted.last)}")
    torch.save(made["student"].model.state_dict(), Path(folder, f"{rank}.pt"))
