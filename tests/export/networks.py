"""Small networks that the export tests share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.core.bridge import Bridge


def convolutional(*, channels: int = 3, classes: int = 5) -> nn.Sequential:
    """Four layers with normalisation statistics other than the initial ones, in mixed modes."""
    torch.manual_seed(0)
    normalisation = nn.BatchNorm2d(8)
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        normalisation,
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, classes),
    )
    statistics = {"running_mean": torch.rand(8), "running_var": torch.rand(8) * 1.5 + 0.5}
    normalisation.load_state_dict(statistics, strict=False)
    model.train()
    normalisation.eval()
    return model


def bridged() -> Bridge:
    """A network for larger, coloured, normalised images, of whose classes three are used."""
    return Bridge(
        convolutional(), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4], channels=3, size=(20, 20), columns=[4, 0, 2]
    )


def shrinking() -> Bridge:
    """A network for smaller images: resizing blurs before it leaves pixels out."""
    return Bridge(convolutional(), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4], channels=3, size=(7, 9))


def grey(n: int) -> Tensor:
    """Images of one channel, 16 × 16."""
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(1))
