"""Little networks, batches and a hand-written loop for tests: CPU, milliseconds, seeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller

CLASSES = 3
Batch = tuple[Tensor, Tensor, Tensor]


def conv_net(width: int = 4, *, seed: int = 0, batch_norm: bool = True, dropout: float = 0.0) -> nn.Sequential:
    """Two convolutions on 1×8×8 images.

    Modules: 0 conv, 1 norm, 2 relu, 3 conv, 4 norm, 5 relu, 6 pool, 7 flatten, 8 dropout, 9 linear.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(width, CLASSES),
        )


def image_batch(count: int = 8, *, seed: int = 1) -> Batch:
    """Images [n 1 8 8], labels [n], ids [n]."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 8, 8, generator=generator)
    return images, torch.arange(count) % CLASSES, torch.arange(count)


def run(model: nn.Module, batch: Any) -> Any:
    """What a task's `run` does."""
    return model(batch[0])


def values(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    """The names of what is no longer as it was."""
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def steps_by_hand(
    distiller: Distiller, micro: Sequence[Any], steps: int, *, runner: Any = None, lr: float = 0.05
) -> list[dict[str, float]]:
    """Every stage of the plan on the same batches, written out as a user would; returns the terms of every turn."""
    runner = runner or distiller
    distiller.train()
    log = []
    for phase, stage in enumerate(distiller.method.plan()):
        groups = [{**group, "lr": lr * group["rate"]} for group in distiller.param_groups(stage)]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        count = max(1, round(steps * stage.share))
        for step in range(count):
            for at in distiller.turns(step, count, phase=phase, epoch=step / count):
                terms = {}
                for batch in micro:
                    terms = runner(batch, at)
                    (sum(terms.values()) / len(micro)).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                log.append({name: float(value.detach()) for name, value in terms.items()})
    return log
