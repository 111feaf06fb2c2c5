"""Parameter counts in closed form, and shapes seen on the way: what the tests of the zoo share."""

from __future__ import annotations

import torch
from torch import nn


def conv(inputs: int, outputs: int, kernel: int, *, groups: int = 1) -> int:
    """Weights of a convolution without bias."""
    return kernel * kernel * (inputs // groups) * outputs


def bn(*channels: int) -> int:
    """Scales and shifts of BatchNorm layers."""
    return 2 * sum(channels)


def linear(inputs: int, outputs: int) -> int:
    """Weights and biases of a linear layer."""
    return inputs * outputs + outputs


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def millions(network: nn.Module) -> float:
    return parameters(network) / 1e6


def shapes(network: nn.Module, images: torch.Tensor, *paths: str) -> list[list[int]]:
    """Output shapes, without the batch, of some modules."""
    seen: dict[str, list[int]] = {}

    def record(path: str):
        return lambda module, inputs, output: seen.update({path: list(output.shape[1:])})

    handles = [network.get_submodule(path).register_forward_hook(record(path)) for path in paths]
    network.eval()(images)
    for handle in handles:
        handle.remove()
    return [seen[path] for path in paths]
