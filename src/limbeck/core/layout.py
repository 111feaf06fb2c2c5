"""How the weights of convolutions lie in memory.

Convolutions run faster when the channels of a pixel lie side by side ("channels last"): on a CPU up to three times as
fast, and on a GPU with tensor cores the other layout has to be rearranged at every layer. A layout changes no shape, no
value and no name; sums are taken in another order, so results agree to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def channels_last(module: nn.Module, wanted: bool | None = None) -> Iterator[None]:
    """Lay the weights of convolutions out with channels last, and afterwards as they were.

    Images need no change: a convolution whose weights lie so takes them as they come and gives channels-last features.
    Values that change inside are kept. Parameters stay the same objects, and their old memory is used again
    afterwards, so that whatever shared it (the result of `state_dict`, an average) still does.

    Args:
        module: any network.
        wanted: absent = if it has two-dimensional convolutions.
    """
    chosen = _has_convolutions(module) if wanted is None else wanted
    moved = [(tensor, tensor.data) for tensor in _four_axes(module) if not _lies_so(tensor)] if chosen else []
    for tensor, own in moved:
        tensor.data = own.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for tensor, own in moved:
            own.copy_(tensor.data)
            tensor.data = own


def laid_out_alike(tensor: Tensor, other: Tensor) -> Tensor:
    """The tensor, laid out as another of its shape: fused optimisers walk through both side by side."""
    if tensor.shape != other.shape or tensor.stride() == other.stride():
        return tensor
    return torch.empty_strided(other.shape, other.stride(), dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _has_convolutions(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) for part in module.modules())


def _four_axes(module: nn.Module) -> list[Tensor]:
    return [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.ndim == 4]


def _lies_so(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)
