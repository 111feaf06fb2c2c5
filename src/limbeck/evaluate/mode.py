"""The state in which networks are measured, and where they live."""

from __future__ import annotations

import torch
from torch import nn

from limbeck.core.mode import evaluating as evaluating


def device_of(model: nn.Module) -> torch.device:
    """Where a network's first parameter or buffer lives; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
