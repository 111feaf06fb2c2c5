"""What an optimiser remembers of a parameter follows when the parameter's entries are put in another order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

Reordered = tuple[Tensor, int, Tensor]
"""A tensor, the axis along which it was permuted, and the order; as `Distiller.reordered` lists them."""


@torch.no_grad()
def reorder_states(optimizers: Iterable[Any], reordered: Iterable[Reordered]) -> None:
    """Permute momenta, squared gradients and all else that an optimiser keeps in the shape of a parameter.

    Args:
        optimizers: of the parameters; also in wrappers that give `state`.
        reordered: in the order in which the permutations were made.
    """
    optimizers = list(optimizers)
    for tensor, axis, order in reordered:
        for optimizer in optimizers:
            for value in optimizer.state.get(tensor, {}).values():
                if isinstance(value, Tensor) and value.shape == tensor.shape:
                    value.copy_(value.index_select(axis, order))
