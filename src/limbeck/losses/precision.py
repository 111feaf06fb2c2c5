"""Precision in which losses are computed."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 at least: half precision would underflow in a softmax, and drown small differences.

    Args:
        tensor: of any floating type and shape; float32 and float64 come back as they are.
    """
    dtype = tensor.dtype
    # asked in this order because the usual case stands in every step
    return tensor if dtype is torch.float32 else tensor.to(torch.promote_types(dtype, torch.float32))


def in_full(tensor: Tensor) -> AbstractContextManager[None]:
    """A context in which mixed precision does not take products of such tensors back to half precision."""
    return torch.autocast(tensor.device.type, enabled=False)
