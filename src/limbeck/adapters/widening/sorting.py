"""The most important channels first, so that the network inside the wide one owns them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from limbeck.adapters.widening.kinds import Follows
from limbeck.adapters.widening.supernet import view_of

Reorder = Callable[[Tensor, int, Tensor], None]
"""Puts a tensor's entries along an axis in another order."""


def sort_channels(model: nn.Module, reorder: Reorder) -> None:
    """Order the channels inside each block by the L1 norm of the weights that take them, the largest first.

    Those are the input columns of the block's projection; inside squeeze-and-excite, those of its second layer. All
    that makes these channels is permuted with them, so the network at its full width computes what it did.

    Args:
        model: a view of a widened network.
        reorder: `Nets.reorder`, which lets optimisers follow.
    """
    view = view_of(model)
    layers, reductions = view.sliced(model), view.plan.numbers(Follows.REDUCTION)
    for group in (*view.plan.numbers(Follows.EXPAND), *reductions):
        takes = [
            one.layer.get_parameter("weight") for one in layers if one.columns == group and one.rows not in reductions
        ]
        order = torch.stack([_norms(weight) for weight in takes]).sum(0).argsort(descending=True, stable=True)
        for one in layers:
            for tensor in (*one.layer.parameters(), *one.layer.buffers()):
                if one.rows == group and tensor.ndim:
                    reorder(tensor, 0, order)
                if one.columns == group and tensor.ndim > 1:
                    reorder(tensor, 1, order)


def _norms(weight: Tensor) -> Tensor:
    """[rows columns …] to [columns]."""
    return weight.detach().abs().flatten(2).sum((0, 2)) if weight.ndim > 2 else weight.detach().abs().sum(0)
