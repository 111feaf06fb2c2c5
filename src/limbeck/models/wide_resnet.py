"""Wide ResNets.

S. Zagoruyko, N. Komodakis, "Wide Residual Networks", BMVC 2016, arXiv 1605.07146: `wrn_D_K` has depth D = 6n + 4 and
K times 16, 32, 64 channels; BatchNorm and ReLU come before each convolution.

Modules, as feature taps name them: `stem`, `layer1`, `layer2`, `layer3`, `bn`, `relu`, `pool` ([b, c]), `fc`. A stage's
output is a sum before BatchNorm and ReLU, so it has negative values; `layer2.0.relu1` and `layer3.0.relu1` are the
activated outputs of `layer1` and `layer2`, `relu` that of `layer3`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.errors import ModelError
from limbeck.models.drop_block import NOTHING, SIDE, DropBlock, last_two
from limbeck.models.layers import Positive, Share, global_pool, he_normal_


def wrn(
    *,
    classes: Positive,
    channels: Positive = 3,
    depth: Positive,
    width: Positive,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> WideResNet:
    """A wide ResNet of any depth 6n + 4.

    Args:
        classes: number of logits.
        channels: of the image.
        depth: 6n + 4.
        width: the widening factor K.
        dropout: share dropped between the two convolutions of each block.
        drop_block: share of the features dropped in squares in the last stage, a quarter of it in the stage before;
            see `limbeck.models.drop_block`.
        block_side: side of these squares.

    Raises:
        ModelError: the depth is not 6n + 4.
    """
    return WideResNet(
        classes=classes,
        channels=channels,
        depth=depth,
        width=width,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


def wrn_16_1(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> WideResNet:
    """0.18 M parameters for 100 classes."""
    return WideResNet(
        classes=classes,
        channels=channels,
        depth=16,
        width=1,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


def wrn_16_2(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> WideResNet:
    """0.70 M parameters for 100 classes."""
    return WideResNet(
        classes=classes,
        channels=channels,
        depth=16,
        width=2,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


def wrn_40_1(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> WideResNet:
    """0.57 M parameters for 100 classes."""
    return WideResNet(
        classes=classes,
        channels=channels,
        depth=40,
        width=1,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


def wrn_40_2(
    *,
    classes: Positive,
    channels: Positive = 3,
    dropout: Share = 0.0,
    drop_block: Share = 0.0,
    block_side: Positive = SIDE,
) -> WideResNet:
    """2.26 M parameters for 100 classes."""
    return WideResNet(
        classes=classes,
        channels=channels,
        depth=40,
        width=2,
        dropout=dropout,
        drop_block=drop_block,
        block_side=block_side,
    )


class WideResNet(nn.Module):
    """Stem, three stages of pre-activation blocks, global mean, classifier; the arguments are those of `wrn`."""

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        depth: int,
        width: int,
        dropout: float,
        drop_block: float,
        block_side: int,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ModelError(f"a wide ResNet has depth 6n + 4 (10, 16, 22, 28, 40, …), not {depth}")
        before, end = last_two(drop_block, block_side)
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.layer1 = _stage(16, 16 * width, blocks=blocks, stride=1, dropout=dropout)
        self.layer2 = _stage(16 * width, 32 * width, blocks=blocks, stride=2, dropout=dropout, drop=before)
        self.layer3 = _stage(32 * width, 64 * width, blocks=blocks, stride=2, dropout=dropout, drop=end)
        self.bn = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU()
        self.pool = global_pool()
        self.fc = nn.Linear(64 * width, classes)
        he_normal_(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.stem(images)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(self.relu(self.bn(x))))


class PreActivationBlock(nn.Module):
    """BatchNorm, ReLU, convolution, twice, and a shortcut.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the first convolution.
        dropout: share dropped before the second convolution.
        drop: drops squares after each convolution and on the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, dropout: float, drop: DropBlock = NOTHING) -> None:
        super().__init__()
        self._drop = drop
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        # As published, the projection exists only where the number of channels changes, and then it sees the
        # activated input; with K = 1 the first stage keeps 16 channels and has none.
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if inputs != outputs else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The block's output: a sum, not activated."""
        active = self.relu1(self.bn1(x))
        y = self._drop(self.relu2(self.bn2(self.conv1(active))), training=self.training)
        y = self._drop(self.conv2(self.dropout(y)), training=self.training)
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return y + self._drop(shortcut, training=self.training)


def _stage(
    inputs: int, outputs: int, *, blocks: int, stride: int, dropout: float, drop: DropBlock = NOTHING
) -> nn.Sequential:
    rest = [PreActivationBlock(outputs, outputs, stride=1, dropout=dropout, drop=drop) for _ in range(blocks - 1)]
    return nn.Sequential(PreActivationBlock(inputs, outputs, stride=stride, dropout=dropout, drop=drop), *rest)
