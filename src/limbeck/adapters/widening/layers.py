"""Layers that run on the first channels of wider weights.

A convolution or a linear layer takes W[:out, :in] and bias[:out]; a depthwise convolution W[:c] and bias[:c], in c
groups; BatchNorm the first c of weight, bias, running mean and running variance; PReLU the first c slopes. Of a
flattened map with p pixels, "the first c" are the first c · p.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from limbeck.adapters.widening.channels import Layer

_BEGIN = {"weight": 1.0, "running_var": 1.0}
"""First values of additional channels in vectors; 0 in all others."""


def wider(layer: nn.Module, rows: int, columns: int | None) -> nn.Module:
    """A copy of a layer with more channels, of which the first are the layer's own.

    Additional weights are drawn from a normal distribution with the standard deviation of the layer's own, so that no
    channel begins larger than another; on the CPU, so that a seed gives the same ones for every device. Additional
    biases are zero, additional BatchNorm channels change nothing, and additional slopes are the mean of the layer's.

    Args:
        layer: a convolution, linear layer, BatchNorm or PReLU.
        rows: outputs, at least the layer's.
        columns: inputs, at least the layer's; absent of what treats each channel by itself.
    """
    made = copy.deepcopy(layer)
    for name, given in list(made.named_parameters(recurse=False)):
        begin = float(given.detach().mean()) if isinstance(layer, nn.PReLU) else _BEGIN.get(name, 0.0)
        wide = _extended(given.detach(), begin, rows, columns)
        made.register_parameter(name, nn.Parameter(wide, given.requires_grad))
    for name, buffer in made._buffers.items():
        if buffer is not None and buffer.ndim:
            made._buffers[name] = _extended(buffer, _BEGIN.get(name, 0.0), rows, columns)
    made.__dict__.update(_figures(layer, rows, columns))
    return made


def _extended(given: Tensor, begin: float, rows: int, columns: int | None) -> Tensor:
    shape = [rows, *given.shape[1:]]
    if given.ndim > 1 and columns is not None:
        shape[1] = columns
    wide = torch.full(shape, begin, dtype=given.dtype)
    if given.ndim > 1:
        wide.normal_(std=float(given.std(correction=0)))
    wide = wide.to(given.device)
    wide[tuple(slice(length) for length in given.shape)] = given
    return wide


def _figures(layer: nn.Module, rows: int, columns: int | None) -> dict[str, int]:
    """What a layer says of itself when its tensors have these shapes."""
    if isinstance(layer, _ConvNd):
        alone = columns is None
        return {"out_channels": rows, "in_channels": columns or rows, "groups": rows if alone else 1}
    if isinstance(layer, nn.Linear):
        return {"out_features": rows, "in_features": columns or layer.in_features}
    return {"num_parameters" if isinstance(layer, nn.PReLU) else "num_features": rows}


def cut(tensor: Tensor, rows: int, columns: int | None) -> Tensor:
    """The first channels of a parameter or buffer; a count of batches has none.

    Args:
        tensor: [rows], [rows columns …] or a scalar.
        rows: how many along the first axis.
        columns: how many along the second axis; absent = all.
    """
    if not tensor.ndim or (tensor.shape[0] == rows and (tensor.ndim == 1 or columns in (None, tensor.shape[1]))):
        return tensor
    return tensor[:rows] if tensor.ndim == 1 or columns is None else tensor[:rows, :columns]


class Active:
    """The width of each group of channels in one view of a wider network; `sizes` may change between passes.

    Args:
        sizes: group -> number of channels.
    """

    def __init__(self, sizes: dict[int, int]) -> None:
        self.sizes = sizes


class Sliced(nn.Module):
    """A layer whose code runs on the first channels of its weights.

    Several views may hold the same layer: they share its parameters and running statistics.

    Args:
        layer: wide.
        active: the widths of this view.
        place: the groups of its channels.
    """

    def __init__(self, layer: nn.Module, active: Active, place: Layer) -> None:
        super().__init__()
        self.layer, self.active, self.place = layer, active, place

    def tensors(self, sizes: dict[int, int]) -> dict[str, Tensor]:
        """The layer's parameters and buffers by name, at given widths; they share the memory of the wide ones.

        Args:
            sizes: group -> number of channels.
        """
        rows, columns = self.place.shape(sizes)
        own = {**self.layer._parameters, **self.layer._buffers}
        return {name: cut(tensor, rows, columns) for name, tensor in own.items() if tensor is not None}

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The layer's output on the active input channels, [b, active rows, …]."""
        layer, seen = self.layer, self._seen()
        before = {name: layer.__dict__[name] for name in seen}
        # The layer's own code must see the slices, whichever subclass it is; `functional_call` does the same slower.
        layer.__dict__.update(seen)
        try:
            return layer(*args, **kwargs)
        finally:
            layer.__dict__.update(before)

    def _seen(self) -> dict[str, Any]:
        """What the layer's code shall find in the layer."""
        layer, cuts = self.layer, self.tensors(self.active.sizes)
        return {
            "_parameters": {name: cuts.get(name) for name in layer._parameters},
            "_buffers": {name: cuts.get(name) for name in layer._buffers},
            **_figures(layer, *self.place.shape(self.active.sizes)),
        }

    def __getattr__(self, name: str) -> Any:
        """What a network asks of its layer, such as `weight.dtype`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            layer, seen = super().__getattr__("layer"), self._seen()
        for found in (seen, seen["_parameters"], seen["_buffers"]):
            if name in found:
                return found[name]
        return getattr(layer, name)
