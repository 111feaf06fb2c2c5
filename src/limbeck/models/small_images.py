"""The ResNets of ImageNet for images of 32 to 64 pixels, as papers on CIFAR-100 use them.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385: 18, 34 and 50 layers in four
stages. Torchvision's networks, in which the first convolution is 3x3 instead of 7x7, keeps the image's size, and is not
followed by max pooling: with the original beginning an image of 32 pixels would reach the last stage as a single one.
"""

from __future__ import annotations

from torch import nn

from limbeck.models.layers import Positive
from limbeck.models.packages import imported


def resnet18(*, classes: Positive, channels: Positive = 3) -> nn.Module:
    """Four stages of two basic blocks.

    Args:
        classes: number of logits.
        channels: of the image.

    Raises:
        MissingPackage: torchvision is not installed.
    """
    return _made("resnet18", classes, channels)


def resnet34(*, classes: Positive, channels: Positive = 3) -> nn.Module:
    """Stages of 3, 4, 6 and 3 basic blocks; the arguments are those of `resnet18`."""
    return _made("resnet34", classes, channels)


def resnet50(*, classes: Positive, channels: Positive = 3) -> nn.Module:
    """Stages of 3, 4, 6 and 3 bottlenecks; the arguments are those of `resnet18`."""
    return _made("resnet50", classes, channels)


def _made(name: str, classes: int, channels: int) -> nn.Module:
    models = imported("torchvision.models", extra="vision")
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    network.maxpool = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # or what is tapped before it would be changed
    return network
