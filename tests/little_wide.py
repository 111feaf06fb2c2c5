"""Little networks with every kind of channel group, for tests of widening: 1×8×8 images, milliseconds, seeded."""

from __future__ import annotations

import torch
from torch import nn

from limbeck.core.bridge import inner
from limbeck.models.mobile import Block, MobileNet
from little import CLASSES

WIDTHS = (1.0, 1.5, 2.0)
EXPANDS = (1.0, 2.0, 3.0)


def mobile_net(*, seed: int = 0) -> MobileNet:
    """A stem of 4 channels; a block from 4 to 6 channels; one with squeeze-and-excite and a shortcut; 10 at the end."""
    stages = [[Block(8, 6, stride=2), Block(12, 6, squeezed=4, shortcut=True)]]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = stirred(MobileNet(stages, 4, nn.ReLU6, 10, 0, CLASSES, 1, 1, 0.0))
        nn.init.normal_(found.fc.weight)
        return found


def stirred(network: nn.Module) -> nn.Module:
    """The network with BatchNorm layers and slopes that do something, drawn from torch's generator."""
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.0, 0.9)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5)
    return network


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """The names and shapes of all parameters and buffers."""
    return {name: tuple(tensor.shape) for name, tensor in inner(network).state_dict().items()}
