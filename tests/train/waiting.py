"""What runs in each of two processes that lose patience quickly; started by `test_devices.py`, without pytest."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from accelerate import PartialState

from limbeck.core.errors import RunError
from limbeck.train.devices import main_alone

WORLD = 2
TIMEOUT, WORK = 1.0, 3.0
"""Seconds: of the processes' own group, and for which the main process works alone."""


def work(rank: int, folder: str, port: int, fails: bool) -> None:
    """Leave what this process saw in a file."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(WORLD), LOCAL_WORLD_SIZE=str(WORLD), OMP_NUM_THREADS="1")
    processes = PartialState(cpu=True, timeout=timedelta(seconds=TIMEOUT))
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
