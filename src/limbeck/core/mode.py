"""A network in evaluation mode for a while, and then exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode without gradients; afterwards every submodule has the mode that it had before.

    `model.train()` at the end would be wrong: a frozen normalisation layer inside a training network is in evaluation
    mode on purpose.

    Args:
        model: any network; its parameters and buffers are not touched.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            yield model
    finally:
        for module, training in modes.items():
            module.training = training
