"""MobileNetV2 for small images, as in the CIFAR-100 tables of knowledge distillation.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
2018, arXiv 1801.04381, Table 2. The version of the tables that follow CRD (arXiv 1910.10699): width 0.5, expansion 6.

Modules, as feature taps name them: `stem`, `layer1` … `layer7` (linear bottlenecks: their outputs have negative
values), `last` (1x1 convolution to 1280), `pool` ([b, 1280]), `fc`. The tables take `stem` and layers 2, 3, 5 and 7 as
features.

Differs from the paper: `layer2` keeps the image's size; ReLU instead of ReLU6; `layer1` has its 1x1 expansion, of
factor 1, too; numbers of channels are cut to integers, not rounded to multiples of 8; no dropout unless asked for.
"""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.errors import ModelError
from limbeck.models.drop_block import NOTHING, SIDE, DropBlock, last_two
from limbeck.models.layers import Multiplier, Positive, Share, conv_bn_relu, global_pool, he_normal_, small_normal_

# channels at width 1, number of blocks, stride of the first block
STAGES = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


def mobilenetv2(
    *,
    classes: Positive,
    channels: Positive = 3,
    width: Multiplier = 0.5,
    expansion: Positive = 6,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> MobileNetV2:
    """0.81 M parameters for 100 classes at width 0.5.

    Args:
        classes: number of logits.
        channels: of the image.
        width: multiplies all numbers of channels; the last one only where it is above 1.
        expansion: channels inside a block over channels at its ends; 1 in the first stage.
        dropout: share of the features dropped before the classifier.
        drop_block: share of the features dropped in squares in `layer6` and `layer7`, a quarter of it in `layer4` and
            `layer5`; see `limbeck.models.drop_block`.
        block_side: side of these squares.

    Raises:
        ModelError: the width leaves a stage without channels.
    """
    return MobileNetV2(
        classes=classes,
        channels=channels,
        width=width,
        expansion=expansion,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


class MobileNetV2(nn.Module):
    """Stem, seven stages of inverted residuals, 1x1 convolution, global mean, classifier."""

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        width: float,
        expansion: int,
        dropout: float,
        drop_block: float,
        block_side: int,
    ) -> None:
        super().__init__()
        widths = [int(outputs * width) for outputs, _, _ in STAGES]
        if min(widths) < 1:
            raise ModelError(f"width {width} leaves a stage of MobileNetV2 without channels; the least is 1/16")
        before, end = last_two(drop_block, block_side)
        drops = {"layer4": before, "layer5": before, "layer6": end, "layer7": end}
        inputs = int(32 * width)
        self.stem = conv_bn_relu(channels, inputs, stride=2)
        self._names = [f"layer{number}" for number in range(1, len(STAGES) + 1)]
        for name, outputs, (_, blocks, stride) in zip(self._names, widths, STAGES, strict=True):
            factor = 1 if name == "layer1" else expansion
            drop = drops.get(name, NOTHING)
            self.add_module(name, _stage(inputs, outputs, blocks=blocks, stride=stride, expansion=factor, drop=drop))
            inputs = outputs
        last = int(1280 * max(width, 1.0))
        self.last = conv_bn_relu(inputs, last, kernel=1)
        self.dropout = dropout
        self.pool = global_pool()
        self.fc = nn.Linear(last, classes)
        he_normal_(self)
        small_normal_(self.fc)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.stem(images)
        for name in self._names:
            x = self.get_submodule(name)(x)
        return self.fc(F.dropout(self.pool(self.last(x)), self.dropout, self.training))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 linear projection; a shortcut where the shape stays.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the depthwise convolution.
        expansion: channels inside over `inputs`.
        drop: drops squares after each convolution and on the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int, drop: DropBlock = NOTHING) -> None:
        super().__init__()
        self._drop = drop
        inside = inputs * expansion
        self.expand = conv_bn_relu(inputs, inside, kernel=1)
        depthwise = nn.Conv2d(inside, inside, 3, stride=stride, padding=1, groups=inside, bias=False)
        self.depthwise = nn.Sequential(OrderedDict(conv=depthwise, bn=nn.BatchNorm2d(inside), relu=nn.ReLU()))
        project = nn.Conv2d(inside, outputs, 1, bias=False)
        self.project = nn.Sequential(OrderedDict(conv=project, bn=nn.BatchNorm2d(outputs)))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The block's output: linear, not activated."""
        y = x
        for step in (self.expand, self.depthwise, self.project):
            y = self._drop(step(y), training=self.training)
        return self._drop(x, training=self.training) + y if self.residual else y


def _stage(
    inputs: int, outputs: int, *, blocks: int, stride: int, expansion: int, drop: DropBlock = NOTHING
) -> nn.Sequential:
    rest = [InvertedResidual(outputs, outputs, stride=1, expansion=expansion, drop=drop) for _ in range(blocks - 1)]
    return nn.Sequential(InvertedResidual(inputs, outputs, stride=stride, expansion=expansion, drop=drop), *rest)
