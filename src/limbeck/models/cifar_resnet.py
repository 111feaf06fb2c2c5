"""ResNets for small images, as in the CIFAR-100 tables of knowledge distillation.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385, section
4.2: depth 6n + 2, three stages of n basic blocks, 16, 32, 64 channels. The tables that follow Tian, Krishnan and Isola
(CRD, ICLR 2020, arXiv 1910.10699) add the four times wider `resnet8x4` and `resnet32x4`, whose stem has 32 channels.

Modules, as feature taps name them: `stem`, `layer1`, `layer2`, `layer3` (each a sequence of blocks), `pool` ([b, c]),
`fc`. The value before a stage's last ReLU is the input of that ReLU: `layer1.{n-1}.relu2:input`.

Differs from the paper: where the number of channels or the stride changes, the shortcut is a 1x1 convolution with
BatchNorm (option B), as in those tables; the paper pads with zeros on CIFAR-10 (option A).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.errors import ModelError
from limbeck.models.drop_block import NOTHING, SIDE, DropBlock, last_two
from limbeck.models.layers import Positive, Share, conv_bn_relu, global_pool, he_normal_

NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)


def resnet(
    *,
    classes: Positive,
    channels: Positive = 3,
    depth: Positive,
    widths: Sequence[Positive] = NARROW,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """A ResNet of any depth 6n + 2.

    Args:
        classes: number of logits.
        channels: of the image.
        depth: number of weighted layers; 6n + 2.
        widths: channels of the stem and of the three stages.
        dropout: share of the features dropped before the classifier.
        drop_block: share of the features dropped in squares in the last stage, a quarter of it in the stage before;
            see `limbeck.models.drop_block`.
        block_side: side of these squares.

    Raises:
        ModelError: the depth is not 6n + 2, or there are not four widths.
    """
    return _made(depth, widths, classes, channels, dropout, drop_block, block_side)


def resnet8(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.08 M parameters for 100 classes."""
    return _made(8, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet14(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.18 M parameters for 100 classes."""
    return _made(14, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet20(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.28 M parameters for 100 classes."""
    return _made(20, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet26(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.38 M parameters for 100 classes."""
    return _made(26, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet32(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.47 M parameters for 100 classes."""
    return _made(32, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet44(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.67 M parameters for 100 classes."""
    return _made(44, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet56(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """0.86 M parameters for 100 classes."""
    return _made(56, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet110(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """1.74 M parameters for 100 classes."""
    return _made(110, NARROW, classes, channels, dropout, drop_block, block_side)


def resnet8x4(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """1.23 M parameters for 100 classes."""
    return _made(8, WIDE, classes, channels, dropout, drop_block, block_side)


def resnet32x4(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> CifarResNet:
    """7.43 M parameters for 100 classes."""
    return _made(32, WIDE, classes, channels, dropout, drop_block, block_side)


def _made(
    depth: int,
    widths: Sequence[int],
    classes: int,
    channels: int,
    dropout: float,
    drop_block: float,
    block_side: int,
) -> CifarResNet:
    return CifarResNet(
        classes=classes,
        channels=channels,
        depth=depth,
        widths=widths,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


class CifarResNet(nn.Module):
    """Stem, three stages of basic blocks, global mean, classifier; the arguments are those of `resnet`."""

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        depth: int,
        widths: Sequence[int],
        dropout: float,
        drop_block: float,
        block_side: int,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ModelError(f"a CIFAR ResNet has depth 6n + 2 (8, 14, 20, 26, 32, …), not {depth}")
        if len(widths) != 4:
            raise ModelError(f"widths are the channels of the stem and of three stages, 4 numbers; {len(widths)} came")
        stem, first, second, third = widths
        before, end = last_two(drop_block, block_side)
        self.stem = conv_bn_relu(channels, stem)
        self.layer1 = _stage(stem, first, blocks=blocks, stride=1)
        self.layer2 = _stage(first, second, blocks=blocks, stride=2, drop=before)
        self.layer3 = _stage(second, third, blocks=blocks, stride=2, drop=end)
        self.dropout = dropout
        self.pool = global_pool()
        self.fc = nn.Linear(third, classes)
        he_normal_(self)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.stem(images)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.dropout(self.pool(x), self.dropout, self.training))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; ReLU after the sum.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the first convolution and of the shortcut.
        drop: drops squares after each convolution and on the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, drop: DropBlock = NOTHING) -> None:
        super().__init__()
        self._drop = drop
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs)))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The block's output, after its last ReLU."""
        y = self._drop(self.relu1(self.bn1(self.conv1(x))), training=self.training)
        y = self._drop(self.bn2(self.conv2(y)), training=self.training)
        return self.relu2(y + self._drop(self.shortcut(x), training=self.training))


def _stage(inputs: int, outputs: int, *, blocks: int, stride: int, drop: DropBlock = NOTHING) -> nn.Sequential:
    rest = [BasicBlock(outputs, outputs, stride=1, drop=drop) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(inputs, outputs, stride=stride, drop=drop), *rest)
