"""A plain small convolutional network for tiny images: 8x8 digits to 32x32.

Blocks of 3x3 convolution, BatchNorm, ReLU; the second and the third halve the image and double the channels, later
ones keep both; global average pooling; a linear classifier. Without BatchNorm and with many thin blocks this is the
kind of network that FitNets (arXiv 1412.6550) finds hard to train.

Modules, as feature taps name them: `layer1` … `layer{depth}` (each holds `conv`, `bn`, `relu`), `pool` ([b, c]), `fc`.
"""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.models.layers import Positive, conv_bn_relu, global_pool, he_normal_


def cnn(
    *, classes: Positive, channels: Positive = 3, width: Positive = 32, depth: Positive = 3, batch_norm: bool = True
) -> Cnn:
    """A small convolutional network.

    Args:
        classes: number of logits.
        channels: of the image.
        width: channels of the first block.
        depth: number of blocks.
        batch_norm: False leaves BatchNorm out and gives the convolutions a bias.
    """
    return Cnn(classes=classes, channels=channels, width=width, depth=depth, batch_norm=batch_norm)


class Cnn(nn.Module):
    """Convolution blocks, global mean, linear classifier; the arguments are those of `cnn`."""

    def __init__(self, *, classes: int, channels: int, width: int, depth: int, batch_norm: bool) -> None:
        super().__init__()
        self._names = [f"layer{number}" for number in range(1, depth + 1)]
        inputs = channels
        for number, name in enumerate(self._names):
            outputs = width * 2 ** min(number, 2)
            stride = 2 if number in (1, 2) else 1
            block = conv_bn_relu if batch_norm else _conv_relu
            self.add_module(name, block(inputs, outputs, stride=stride))
            inputs = outputs
        self.pool = global_pool()
        self.fc = nn.Linear(inputs, classes)
        he_normal_(self)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = images
        for name in self._names:
            x = self.get_submodule(name)(x)
        return self.fc(self.pool(x))


def _conv_relu(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU()))
