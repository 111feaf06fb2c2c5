"""ShuffleNet for small images, as in the CIFAR-100 tables of knowledge distillation.

X. Zhang, X. Zhou, M. Lin, J. Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
CVPR 2018, arXiv 1707.01083, Table 1, 3 groups: 240, 480, 960 channels in stages of 4, 8, 4 blocks. The version of the
tables that follow CRD (arXiv 1910.10699).

Modules, as feature taps name them: `stem`, `layer1`, `layer2`, `layer3`, `pool` ([b, 960]), `fc`. The value before a
stage's last ReLU: `layer1.3.relu3:input`.

Differs from the paper: the stem is a 1x1 convolution of stride 1 without pooling, because the images are small; a
block's inner width is a quarter of what its own convolutions give, also where the pooled shortcut is concatenated.
Convolutions start as torch draws them, as in those tables.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.models.layers import Positive, conv_bn_relu, global_pool
from limbeck.models.shuffle import ChannelShuffle

GROUPS = 3
STEM = 24
STAGES = ((240, 4), (480, 8), (960, 4))  # channels, blocks


def shufflenetv1(*, classes: Positive, channels: Positive = 3) -> ShuffleNetV1:
    """0.95 M parameters for 100 classes.

    Args:
        classes: number of logits.
        channels: of the image.
    """
    return ShuffleNetV1(classes=classes, channels=channels)


class ShuffleNetV1(nn.Module):
    """Stem, three stages that halve the image, global mean, classifier; the arguments are those of `shufflenetv1`."""

    def __init__(self, *, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = conv_bn_relu(channels, STEM, kernel=1)
        (first, blocks1), (second, blocks2), (third, blocks3) = STAGES
        self.layer1 = _stage(STEM, first, blocks=blocks1)
        self.layer2 = _stage(first, second, blocks=blocks2)
        self.layer3 = _stage(second, third, blocks=blocks3)
        self.pool = global_pool()
        self.fc = nn.Linear(third, classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.stem(images)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(x))


class ShuffleBlock(nn.Module):
    """Grouped 1x1 convolution, shuffle, 3x3 depthwise, grouped 1x1; the input is added, or pooled and concatenated.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: 1 adds the input; 2 pools it and concatenates it.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        own = outputs - inputs if stride == 2 else outputs
        inside = own // 4
        groups = 1 if inputs == STEM else GROUPS  # the paper leaves the first convolution after the stem ungrouped
        self.conv1 = nn.Conv2d(inputs, inside, 1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.relu1 = nn.ReLU()
        self.shuffle = ChannelShuffle(groups)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride=stride, padding=1, groups=inside, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(inside, own, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(own)
        self.relu3 = nn.ReLU()
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The block's output, after its last ReLU."""
        y = self.shuffle(self.relu1(self.bn1(self.conv1(x))))
        # the tables put a ReLU after the depthwise convolution; the paper has none there
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu3(x + y if self.shortcut is None else torch.cat([y, self.shortcut(x)], dim=1))


def _stage(inputs: int, outputs: int, *, blocks: int) -> nn.Sequential:
    rest = [ShuffleBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(ShuffleBlock(inputs, outputs, stride=2), *rest)
