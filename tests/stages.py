"""Parts of a training by hand: one stage, one step of it, and modules that count how often they run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller


class Counting(nn.Module):
    """Gives what comes in, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def terms_at(found: Distiller, batch: Any, *, phase: int = 0, step: int = 0, steps: int = 4) -> dict[str, Tensor]:
    """The terms of a stage with a single turn, somewhere in it."""
    (at,) = found.turns(step, steps, phase=phase, epoch=step / steps)
    return found(batch, at)


def train_stage(found: Distiller, batch: Any, *, phase: int, optimizer: type[torch.optim.Optimizer]) -> None:
    """Three steps of a stage with a weight decay that nothing which has a gradient escapes."""
    found.train()
    optimiser = optimizer(found.param_groups(found.method.plan()[phase]), lr=0.1, weight_decay=0.1)
    for step in range(3):
        for at in found.turns(step, 3, phase=phase, epoch=step / 3):
            torch.stack(list(found(batch, at).values())).sum().backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
