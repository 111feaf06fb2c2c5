"""BatchNorm statistics estimated anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Any], run: Callable[[nn.Module, Any], Any], *, images: int) -> None:
    """Set running means and variances to the averages of batch means and (biased) variances, weighted by batch size.

    Args:
        model: is changed in place; a network without BatchNorm stays as it is.
        batches: training batches, perhaps endless; none = nothing changes.
        run: runs the network on a batch.
        images: batches are taken until they hold this many.
    """
    norms = {module: _Average() for module in model.modules() if isinstance(module, _BatchNorm) and _tracks(module)}
    if not norms or not images:
        return
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(norm, norm.momentum) for norm in norms]
    handles = [norm.register_forward_pre_hook(average) for norm, average in norms.items()]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 0.0  # it normalises by the batch, and leaves what it had
    try:
        for batch in batches:
            run(model, batch)
            seen = [average.count for average in norms.values() if average.count]
            if not seen or min(seen) >= images:  # a layer that does not run has nothing to wait for
                break
    finally:
        for handle in handles:
            handle.remove()
        for norm, momentum in momenta:
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
    for norm, average in norms.items():
        average.write(norm)


def _tracks(norm: _BatchNorm) -> bool:
    return norm.running_mean is not None and norm.running_var is not None


class _Average:
    """Of the statistics of what goes into one layer."""

    def __init__(self) -> None:
        self.count = 0
        self.mean, self.variance = torch.zeros(()), torch.zeros(())

    def __call__(self, _norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float() if inputs[0].dtype in (torch.float16, torch.bfloat16) else inputs[0]
        axes = [axis for axis in range(x.ndim) if axis != 1]
        self.count += len(x)
        self.mean = self.mean + len(x) * x.mean(axes)
        self.variance = self.variance + len(x) * x.var(axes, correction=0)

    def write(self, norm: _BatchNorm) -> None:
        if self.count and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(self.mean / self.count)
            norm.running_var.copy_(self.variance / self.count)
