"""What an optimiser remembers of a parameter follows when the parameter's entries are put in another order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import TrainingError

Reordered = tuple[Tensor, int, Tensor]
"""A tensor, the axis along which it was permuted, and the order; as `Distiller.reordered` lists them."""


@torch.no_grad()
def reorder_states(optimizers: Iterable[Any], reordered: Iterable[Reordered]) -> None:
    """Permute momenta, squared gradients and all else that an optimiser keeps for a parameter.

    A mean over an axis (of length 1 there, as Adafactor keeps them) is the same in any order.

    Args:
        optimizers: of the parameters; also in wrappers that give `state`.
        reordered: in the order in which the permutations were made.

    Raises:
        TrainingError: what an optimiser keeps has another shape than its parameter, so that its axes are not known.
    """
    optimizers = list(optimizers)
    for tensor, axis, order in reordered:
        for optimizer in optimizers:
            for name, value in optimizer.state.get(tensor, {}).items():
                if not isinstance(value, Tensor) or value.numel() == 1:
                    continue
                if not _axis_by_axis(value, tensor):
                    raise TrainingError(
                        f"{type(optimizer).__name__} keeps {name!r} of {list(value.shape)} for a parameter of "
                        f"{list(tensor.shape)}, whose channels were sorted: it is not known how it follows; take an "
                        "optimiser such as sgd or adam, or let the method not sort"
                    )
                if value.shape[axis] > 1:
                    value.copy_(value.index_select(axis, order))


def _axis_by_axis(value: Tensor, tensor: Tensor) -> bool:
    return value.ndim == tensor.ndim and all(
        own in (1, length) for own, length in zip(value.shape, tensor.shape, strict=True)
    )
