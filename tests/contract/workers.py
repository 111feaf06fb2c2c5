"""What runs in each of several processes; started by `test_processes.py`, without pytest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from contract.cases import CASES, Case
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Constant, Train
from little import image_batch

WORLD = 2
STEPS = 4
UNEVEN = slice(0, 5)
"""One process takes five of eight samples and the other three, two of them without a label."""


def batch() -> Any:
    images, labels, ids = image_batch(8)
    labels[6:] = -100
    return images, labels, ids


def share(rank: int | None) -> Any:
    """A process's samples; all of them when there is one process."""
    if rank is None:
        return batch()
    return tuple(part[UNEVEN] if rank == 0 else part[UNEVEN.stop :] for part in batch())


def trained(case: Case, rank: int | None = None) -> dict[str, torch.Tensor]:
    """The state after a few steps. No BatchNorm: its statistics differ between processes by nature."""
    found = case.distiller(batch_norm=False)
    train = Train(length=f"{STEPS} steps", optimizer=SGD(lr=0.05), schedule=Constant(), log="1 steps")
    fit(found, Cycle([share(rank)]), train, validation=[batch()], progress=False)
    found.close()
    return found.state()


def gathered(rank: int) -> dict[str, torch.Tensor]:
    """What `gather` gives, and the gradient that comes back through it."""
    found = CASES[0].distiller()
    mine = torch.full((2, 3), float(rank + 1), requires_grad=True)
    whole = found.gather(mine)
    (whole * torch.arange(12.0).view(4, 3)).sum().backward()
    return {"whole": whole.detach(), "grad": mine.grad}


def work(rank: int, folder: str, port: int) -> None:
    """Train every method as one process of `WORLD`, and leave the states in a file."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(WORLD), LOCAL_WORLD_SIZE=str(WORLD), ACCELERATE_USE_CPU="true")
    states = {case.name: trained(case, rank) for case in CASES}
    states["gather"] = gathered(rank)
    torch.save(states, Path(folder) / f"{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
