"""ShuffleNet V2 for small images, as in the CIFAR-100 tables of knowledge distillation.

N. Ma, X. Zhang, H.-T. Zheng, J. Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV
2018, arXiv 1807.11164, Table 5. The version of the tables that follow CRD (arXiv 1910.10699): width 1.

Modules, as feature taps name them: `stem`, `layer1`, `layer2`, `layer3`, `last` (1x1 convolution), `pool` ([b, 1024]),
`fc`.

Differs from the paper: the stem is a 1x1 convolution of stride 1 without pooling, because the images are small.
Convolutions start as torch draws them, as in those tables.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.errors import ModelError
from limbeck.models.layers import Multiplier, Positive, conv_bn_relu, global_pool
from limbeck.models.shuffle import ChannelShuffle

STEM = 24
BLOCKS = (4, 8, 4)
WIDTHS = {  # width: channels of the three stages and of the last convolution
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def shufflenetv2(*, classes: Positive, channels: Positive = 3, width: Multiplier = 1.0) -> ShuffleNetV2:
    """1.36 M parameters for 100 classes at width 1.

    Args:
        classes: number of logits.
        channels: of the image.
        width: 0.5, 1, 1.5 or 2, the columns of the paper's table.

    Raises:
        ModelError: the paper's table does not have that width.
    """
    return ShuffleNetV2(classes=classes, channels=channels, width=width)


class ShuffleNetV2(nn.Module):
    """Stem, three stages that halve the image, 1x1 convolution, global mean, classifier."""

    def __init__(self, *, classes: int, channels: int, width: float) -> None:
        super().__init__()
        if width not in WIDTHS:
            raise ModelError(f"ShuffleNet V2 is defined for the widths {', '.join(map(str, WIDTHS))}, not for {width}")
        first, second, third, last = WIDTHS[width]
        self.stem = conv_bn_relu(channels, STEM, kernel=1)
        self.layer1 = _stage(STEM, first, blocks=BLOCKS[0])
        self.layer2 = _stage(first, second, blocks=BLOCKS[1])
        self.layer3 = _stage(second, third, blocks=BLOCKS[2])
        self.last = conv_bn_relu(third, last, kernel=1)
        self.pool = global_pool()
        self.fc = nn.Linear(last, classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.stem(images)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(self.last(x)))


class SplitBlock(nn.Module):
    """One half of the channels passes unchanged, the other through three convolutions; then both are shuffled.

    Args:
        channels: even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = _branch(half, half, stride=1)
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The block's output."""
        kept, changed = x.chunk(2, dim=1)
        return self.shuffle(torch.cat([kept, self.branch(changed)], dim=1))


class DownBlock(nn.Module):
    """Both branches see all channels and halve the image; then both are shuffled.

    Args:
        inputs: channels that come in.
        outputs: channels that go out; even.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.shortcut = nn.Sequential(
            OrderedDict(
                depthwise=nn.Conv2d(inputs, inputs, 3, stride=2, padding=1, groups=inputs, bias=False),
                bn1=nn.BatchNorm2d(inputs),
                conv=nn.Conv2d(inputs, half, 1, bias=False),
                bn2=nn.BatchNorm2d(half),
                relu=nn.ReLU(),
            )
        )
        self.branch = _branch(inputs, half, stride=2)
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The block's output."""
        return self.shuffle(torch.cat([self.shortcut(x), self.branch(x)], dim=1))


def _branch(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(inputs, outputs, 1, bias=False),
            bn1=nn.BatchNorm2d(outputs),
            relu1=nn.ReLU(),
            depthwise=nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, groups=outputs, bias=False),
            bn2=nn.BatchNorm2d(outputs),
            conv2=nn.Conv2d(outputs, outputs, 1, bias=False),
            bn3=nn.BatchNorm2d(outputs),
            relu2=nn.ReLU(),
        )
    )


def _stage(inputs: int, outputs: int, *, blocks: int) -> nn.Sequential:
    return nn.Sequential(DownBlock(inputs, outputs), *(SplitBlock(outputs) for _ in range(blocks - 1)))
