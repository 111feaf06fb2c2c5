"""The most important channels first, so that the network inside the wide one owns them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from limbeck.adapters.widening.kinds import Follows
from limbeck.adapters.widening.layers import Sliced
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
        takes = [one for one in layers if one.place.columns == group and one.place.rows not in reductions]
        if not takes:
            continue  # a branch that nothing comes of
        order = torch.stack([_norms(one) for one in takes]).sum(0).argsort(descending=True, stable=True)
        for one in layers:
            for axis, each in one.place.axes(group):
                for tensor in (*one.layer.parameters(), *one.layer.buffers()):
                    if tensor.ndim > axis:
                        reorder(tensor, axis, _entries(order, each))


def _norms(layer: Sliced) -> Tensor:
    """Of the weights by the channel that they take, [channels]."""
    weight = layer.layer.get_parameter("weight").detach().abs()
    return weight.unflatten(1, (-1, layer.place.each)).transpose(0, 1).flatten(1).sum(1)


def _entries(order: Tensor, each: int) -> Tensor:
    """The order of entries of which each channel has several, one after the other."""
    return (order[:, None] * each + torch.arange(each, device=order.device)).flatten()
