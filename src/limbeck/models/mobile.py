"""Networks for microcontrollers and telephones, as in the experiments of NetAug (Cai et al., ICLR 2022).

    mobilenetv2_w035    M. Sandler et al., "MobileNetV2", CVPR 2018, arXiv 1801.04381, at width 0.35
    mobilenetv2_tiny    the same with 448 channels in the last convolution instead of 1280
    mcunet              J. Lin et al., "MCUNet: Tiny Deep Learning on IoT Devices", NeurIPS 2020, arXiv 2007.10319
    mobilenetv3_w035    A. Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244, Large at width 0.35

Channels, kernels and strides are those of NetAug's public code (mit-han-lab/tinyml); numbers of channels are rounded to
multiples of 8. At 1000 classes mobilenetv2_tiny has 0.75 M parameters and 23.5 M multiply-accumulates at 144 pixels,
mcunet 0.74 M and 81.8 M at 176, as published. The papers take images of 144 to 176 pixels and halve them five times,
first in the stem. For images of 32 to 64 pixels the stem keeps the size; `stem_stride: 2` is the papers' stem.

Modules, as feature taps name them: `stem`, `layer1` … (stages of inverted residuals: their outputs are linear), `last`
(1x1 convolution, except in mcunet), `pool` ([b, c]), `head` (mobilenetv3 only), `fc`.

Differs from the papers: weights of convolutions are drawn as torch does it, `kaiming_uniform_(a=√5)`, which NetAug's
authors recommend for wide blocks; no dropout and no DropBlock unless asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.models.drop_block import NOTHING, SIDE, DropBlock, last_two
from limbeck.models.layers import Positive, Share, global_pool, small_normal_

StemStride = Annotated[int, Field(ge=1, le=2)]


def mobilenetv2_w035(
    *,
    classes: Positive,
    channels: Positive = 3,
    stem_stride: StemStride = 1,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> MobileNet:
    """0.52 M parameters for 100 classes, 1.68 M for 1000.

    Args:
        classes: number of logits.
        channels: of the image.
        stem_stride: 1 for images of 32 to 64 pixels, 2 for larger ones.
        dropout: share of the features dropped before the classifier.
        drop_block: share of the features dropped in squares in the last resolution, a quarter of it in the one before;
            see `limbeck.models.drop_block`.
        block_side: side of these squares.
    """
    drops = last_two(drop_block, block_side)
    return MobileNet(_mobilenetv2(0.35), 16, nn.ReLU6, 1280, 0, classes, channels, stem_stride, dropout, drops)


def mobilenetv2_tiny(
    *,
    classes: Positive,
    channels: Positive = 3,
    stem_stride: StemStride = 1,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> MobileNet:
    """0.35 M parameters for 100 classes, 0.75 M for 1000; arguments as of `mobilenetv2_w035`."""
    drops = last_two(drop_block, block_side)
    return MobileNet(_mobilenetv2(0.35), 16, nn.ReLU6, 448, 0, classes, channels, stem_stride, dropout, drops)


def mcunet(
    *,
    classes: Positive,
    channels: Positive = 3,
    stem_stride: StemStride = 1,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> MobileNet:
    """0.59 M parameters for 100 classes, 0.74 M for 1000; arguments as of `mobilenetv2_w035`."""
    drops = last_two(drop_block, block_side)
    return MobileNet(_mcunet(), 16, nn.ReLU6, 0, 0, classes, channels, stem_stride, dropout, drops)


def mobilenetv3_w035(
    *,
    classes: Positive,
    channels: Positive = 3,
    stem_stride: StemStride = 1,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> MobileNet:
    """0.96 M parameters for 100 classes, 2.11 M for 1000; arguments as of `mobilenetv2_w035`."""
    drops = last_two(drop_block, block_side)
    return MobileNet(_mobilenetv3(0.35), 8, nn.Hardswish, 336, 1280, classes, channels, stem_stride, dropout, drops)


@dataclass(frozen=True)
class Block:
    """An inverted residual.

    Args:
        inside: channels of the depthwise convolution; 0 = those that come in, without a convolution that makes them.
        outputs: channels that go out.
        kernel: side of the depthwise kernel, odd.
        stride: of the depthwise convolution.
        squeezed: channels inside squeeze-and-excite; 0 = none.
        activation: after the first two convolutions.
        shortcut: whether the block's input is added to its output.
    """

    inside: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    squeezed: int = 0
    activation: Callable[[], nn.Module] = nn.ReLU6
    shortcut: bool = False


class MobileNet(nn.Module):
    """Stem, stages of inverted residuals, 1x1 convolution, global mean, hidden layer, classifier.

    Args:
        stages: blocks of each.
        stem: channels of the stem.
        activation: of stem, last convolution and hidden layer.
        last: channels of the last convolution; 0 = none.
        hidden: features of the layer before the classifier; 0 = none.
        classes: number of logits.
        channels: of the image.
        stem_stride: of the stem.
        dropout: share of the features dropped before the classifier.
        drops: what drops squares in the resolution before the last, and in the last.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Block]],
        stem: int,
        activation: Callable[[], nn.Module],
        last: int,
        hidden: int,
        classes: int,
        channels: int,
        stem_stride: int,
        dropout: float,
        drops: tuple[DropBlock, DropBlock] = (NOTHING, NOTHING),
    ) -> None:
        super().__init__()
        self.stem = _conv(channels, stem, activation, kernel=3, stride=stem_stride)
        self._names = [f"layer{number}" for number in range(1, len(stages) + 1)]
        inputs = stem
        for name, blocks, drop in zip(self._names, stages, _drops(stages, drops), strict=True):
            stage = nn.Sequential()
            for block in blocks:
                stage.append(InvertedResidual(inputs, block, drop))
                inputs = block.outputs
            self.add_module(name, stage)
        self.last = _conv(inputs, last, activation) if last else nn.Identity()
        self.pool = global_pool()
        features = last or inputs
        self.head = nn.Sequential(nn.Linear(features, hidden), activation()) if hidden else nn.Identity()
        self.dropout = dropout
        self.fc = nn.Linear(hidden or features, classes)
        small_normal_(self.fc)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.stem(images)
        for name in self._names:
            x = self.get_submodule(name)(x)
        features = self.head(self.pool(self.last(x)))
        return self.fc(F.dropout(features, self.dropout, self.training))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze-and-excite, 1x1 linear projection.

    Args:
        inputs: channels that come in.
        block: what the block looks like.
        drop: drops squares after each convolution and on the shortcut.
    """

    def __init__(self, inputs: int, block: Block, drop: DropBlock = NOTHING) -> None:
        super().__init__()
        self._drop = drop
        inside = block.inside or inputs
        self._expands = block.inside > 0
        self.expand = _conv(inputs, inside, block.activation) if self._expands else nn.Identity()
        self.depthwise = _conv(
            inside, inside, block.activation, kernel=block.kernel, stride=block.stride, groups=inside
        )
        self.squeeze = SqueezeExcite(inside, block.squeezed) if block.squeezed else nn.Identity()
        self.project = _conv(inside, block.outputs, None)
        self.shortcut = block.shortcut

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The block's output: linear, not activated."""
        y = self._dropped(self.expand(x)) if self._expands else x
        y = self._dropped(self.depthwise(y))
        y = self._dropped(self.project(self.squeeze(y)))
        return self._dropped(x) + y if self.shortcut else y

    def _dropped(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self._drop(x, training=self.training)


class SqueezeExcite(nn.Module):
    """Each channel times a number in [0, 1] that follows from the means of all channels.

    Args:
        channels: of the features.
        squeezed: channels between the two layers.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.excite = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The scaled features."""
        return x * self.gate(self.excite(self.relu(self.reduce(self.pool(x)))))


def _conv(
    inputs: int,
    outputs: int,
    activation: Callable[[], nn.Module] | None,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    parts: dict[str, nn.Module] = {"conv": conv, "bn": nn.BatchNorm2d(outputs)}
    return nn.Sequential(OrderedDict(parts if activation is None else {**parts, "act": activation()}))


def _drops(stages: Sequence[Sequence[Block]], drops: tuple[DropBlock, DropBlock]) -> list[DropBlock]:
    """What drops squares in each stage: those after the last halving of the maps are of the last resolution."""
    halvings = list(accumulate(max(block.stride for block in blocks) - 1 for blocks in stages))
    before, end = drops
    return [{0: end, 1: before}.get(halvings[-1] - one, NOTHING) for one in halvings]


def _rounded(number: float) -> int:
    """To a multiple of 8, at least 8 and at least nine tenths."""
    found = max(8, int(number + 4) // 8 * 8)
    return found if found >= 0.9 * number else found + 8


def _mobilenetv2(width: float) -> list[list[Block]]:
    # channels at width 1, number of blocks, stride of the first block
    table = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
    inputs = _rounded(16 * width)
    stages = [[Block(0, inputs)]]
    for outputs, blocks, stride in table:
        outputs, stage = _rounded(outputs * width), []
        for number in range(blocks):
            inside = _rounded(6 * inputs)
            stage.append(Block(inside, outputs, stride=1 if number else stride, shortcut=number > 0))
            inputs = outputs
        stages.append(stage)
    return stages


def _mcunet() -> list[list[Block]]:
    # channels, stride of the first block, (expansion, kernel) of each block
    table = (
        (16, 2, ((3, 7), (5, 3), (5, 7), (4, 5))),
        (24, 2, ((5, 5), (5, 5), (5, 5))),
        (40, 2, ((5, 3), (6, 7), (4, 5))),
        (48, 1, ((5, 5), (5, 7), (5, 3))),
        (96, 2, ((6, 3), (5, 7), (4, 3))),
    )
    inputs = 8
    stages = [[Block(0, inputs)]]
    for outputs, stride, blocks in table:
        stage = []
        for number, (expansion, kernel) in enumerate(blocks):
            inside = _rounded(expansion * inputs)
            stage.append(Block(inside, outputs, kernel, 1 if number else stride, shortcut=number > 0))
            inputs = outputs
        stages.append(stage)
    return [*stages, [Block(480, 160, 7)]]


def _mobilenetv3(width: float) -> list[list[Block]]:
    # channels at width 1, stride of the first block, kernel, channels inside each block, activation, squeeze-and-excite
    table = (
        (24, 2, 3, (64, 72), nn.ReLU, False),
        (40, 2, 5, (72, 120, 120), nn.ReLU, True),
        (80, 2, 3, (240, 200, 184, 184), nn.Hardswish, False),
        (112, 1, 3, (480, 672), nn.Hardswish, True),
        (160, 2, 5, (672, 960, 960), nn.Hardswish, True),
    )
    stages = [[Block(0, _rounded(16 * width), activation=nn.ReLU, shortcut=True)]]
    for outputs, stride, kernel, insides, activation, excites in table:
        stage = []
        for number, inside in enumerate(_rounded(round(full * width)) for full in insides):
            squeezed = max(_rounded(inside / 4), 16) if excites else 0
            own = 1 if number else stride
            stage.append(Block(inside, _rounded(outputs * width), kernel, own, squeezed, activation, number > 0))
        stages.append(stage)
    return stages
