"""The few pieces that several families of networks share."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from pydantic import Field
from torch import nn

Positive = Annotated[int, Field(gt=0)]
Multiplier = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


def conv_bn_relu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, BatchNorm, ReLU, under the names `conv`, `bn`, `relu`.

    The ReLU is not in place: a tap on `bn` would otherwise record values that change after it was taken.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of the kernel, odd; the image is padded so that stride 1 keeps its size.
        stride: step of the convolution in pixels.
    """
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
            bn=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )


def global_pool() -> nn.Sequential:
    """Mean over the image, whatever its size: [b, c, h, w] to [b, c]."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def he_normal_(network: nn.Module) -> None:
    """Draw every convolution of a network as He et al. (2015, arXiv 1502.01852): normal, variance 2 / (k·k·outputs).

    BatchNorm starts at scale 1 and shift 0, which is what torch gives it; biases of convolutions start at 0.

    Args:
        network: changed in place.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def small_normal_(classifier: nn.Linear) -> None:
    """Draw the weights of a classifier with standard deviation 0.01, bias 0, as VGG and MobileNetV2 do.

    Args:
        classifier: changed in place.
    """
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
