"""Orders of channels that are drawn once and kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class Orders(nn.Module):
    """For each layer an order of its channels, drawn from torch's global generator when it is made.

    Args:
        channels: layer -> how many it has.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        self._numbers = {layer: number for number, layer in enumerate(channels)}
        for layer, number in self._numbers.items():
            self.register_buffer(f"order{number}", torch.randperm(channels[layer]))

    def order(self, layer: str) -> Int64[Tensor, " c"]:
        """The order of a layer's channels."""
        return self.get_buffer(f"order{self._numbers[layer]}")

    def forward(self, layer: str, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The features of a layer with their channels in its order."""
        return features.index_select(1, self.order(layer))
