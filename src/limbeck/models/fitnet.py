"""Thin deep maxout networks: the students of FitNets, and their teacher on MNIST.

A. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550, section 3 and the table of its
appendix: 3x3 convolutions with maxout of two pieces and without BatchNorm, pooling after each group of layers. FitNet
1 to 4 are its students on CIFAR-10, with 250 K, 862 K, 1.6 M and 2.5 M parameters. `maxout_mnist` is the convolutional
maxout network of I. Goodfellow et al., "Maxout Networks", ICML 2013, arXiv:1302.4389, with 361 K.

Modules, as feature taps name them: `layer1`, `layer2`, … (each convolution with its maxout and, at the end of a group,
its pooling), `hidden` (fully connected maxout, of the CIFAR-10 networks), `fc`.

Differs from the papers: the hidden layer of the CIFAR-10 students has two pieces, because with two, not five, the
published numbers of parameters come out (249.6 K, 861.9 K, 2.54 M without biases; 1.50 M for the third). The MNIST
student has 21 K parameters here; the paper says 30 K, and does not say of what. The paper draws all weights evenly
from ±0.005, which is `uniform`; without it, weights are torch's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.maxout import Maxout
from limbeck.core.errors import ModelError
from limbeck.models.layers import Positive

PIECES = 2
HIDDEN = 500
Uniform = Annotated[float, Field(gt=0)] | None


def fitnet1(*, classes: Positive, channels: Positive = 3, uniform: Uniform = None) -> ThinDeep:
    """11 layers, 0.25 M parameters for 10 classes."""
    return _cifar([[16, 16, 16], [32, 32, 32], [48, 48, 64]], classes=classes, channels=channels, uniform=uniform)


def fitnet2(*, classes: Positive, channels: Positive = 3, uniform: Uniform = None) -> ThinDeep:
    """11 layers, 0.86 M parameters for 10 classes."""
    return _cifar([[16, 32, 32], [48, 64, 80], [96, 96, 128]], classes=classes, channels=channels, uniform=uniform)


def fitnet3(*, classes: Positive, channels: Positive = 3, uniform: Uniform = None) -> ThinDeep:
    """13 layers, 1.51 M parameters for 10 classes."""
    groups = [[32, 48, 64, 64], [80] * 4, [128] * 3]
    return _cifar(groups, classes=classes, channels=channels, uniform=uniform)


def fitnet4(*, classes: Positive, channels: Positive = 3, uniform: Uniform = None) -> ThinDeep:
    """19 layers, 2.55 M parameters for 10 classes."""
    groups = [[32, 32, 32, 48, 48], [80] * 6, [128] * 6]
    return _cifar(groups, classes=classes, channels=channels, uniform=uniform)


def fitnet_mnist(
    *,
    classes: Positive,
    channels: Positive = 1,
    height: Positive = 28,
    width: Positive = 28,
    groups: Sequence[Sequence[Positive]] = ((16, 16), (16, 16), (12, 12)),
    uniform: Uniform = None,
) -> ThinDeep:
    """The thin deep student on MNIST: 7 layers, 21 K parameters.

    Args:
        classes: number of logits.
        channels: of the image.
        height: of the image, pixels.
        width: of the image, pixels.
        groups: channels of each layer, in three groups with pooling after each; more layers make it deeper.
        uniform: weights are drawn evenly from ± so much; absent = as torch draws them.
    """
    if len(groups) != 3 or not all(groups):
        raise ModelError(f"groups are the channels of the layers in three groups, none of them empty; {groups} came")
    pools = (_overlapping(), _overlapping(), nn.MaxPool2d(2))
    layers = _layers(channels, groups, pools)
    return ThinDeep(layers, classes=classes, image=(channels, height, width), uniform=uniform)


def maxout_mnist(
    *, classes: Positive, channels: Positive = 1, height: Positive = 28, width: Positive = 28, uniform: Uniform = None
) -> ThinDeep:
    """The teacher on MNIST: three layers with large kernels, 361 K parameters."""
    layers = [
        _layer(channels, 48, kernel=8, padding=0, pool=_overlapping()),
        _layer(48, 48, kernel=8, padding=3, pool=_overlapping()),
        _layer(48, 24, kernel=5, padding=3, pool=nn.MaxPool2d(2)),
    ]
    return ThinDeep(layers, classes=classes, image=(channels, height, width), uniform=uniform)


class ThinDeep(nn.Module):
    """Layers of maxout one after the other, perhaps a hidden layer of maxout, and a classifier.

    Args:
        layers: the convolutional layers, with their pooling.
        classes: number of logits.
        image: channels, height and width.
        hidden: units of the fully connected maxout layer; absent = there is none.
        uniform: all weights are drawn evenly from ± so much, and biases are 0; absent = as torch draws them.

    Raises:
        ModelError: the image is too small to be pooled so often.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        classes: int,
        image: tuple[int, int, int],
        hidden: int | None = None,
        uniform: float | None = None,
    ) -> None:
        super().__init__()
        self.layers = len(layers)
        for number, layer in enumerate(layers, start=1):
            self.add_module(f"layer{number}", layer)
        self.flatten = nn.Flatten()
        features = self._features(image)
        units = hidden or features
        self.hidden = nn.Sequential(nn.Linear(features, PIECES * units), Maxout(PIECES)) if hidden else nn.Identity()
        self.fc = nn.Linear(units, classes)
        if uniform is not None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.uniform_(module.weight, -uniform, uniform)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)

    def _features(self, image: tuple[int, int, int]) -> int:
        """Numbers that the last layer gives for an image."""
        device = next(self.parameters()).device
        try:
            with torch.no_grad():
                return self._flat(torch.zeros(1, *image, device=device)).shape[1]
        except RuntimeError as error:
            raise ModelError(
                f"an image of {image[1]}×{image[2]} pixels is too small for this network: {error}"
            ) from error

    def _flat(self, images: Tensor) -> Float[Tensor, "b f"]:
        x = images
        for number in range(1, self.layers + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.flatten(x)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        return self.fc(self.hidden(self._flat(images)))


def _cifar(groups: Sequence[Sequence[int]], *, classes: int, channels: int, uniform: float | None) -> ThinDeep:
    pools = (nn.MaxPool2d(2), nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(1))
    layers = _layers(channels, groups, pools)
    return ThinDeep(layers, classes=classes, image=(channels, 32, 32), hidden=HIDDEN, uniform=uniform)


def _layers(channels: int, groups: Sequence[Sequence[int]], pools: Sequence[nn.Module]) -> list[nn.Module]:
    """3x3 layers in groups; the last one of a group pools."""
    layers: list[nn.Module] = []
    for group, pool in zip(groups, pools, strict=True):
        for number, width in enumerate(group, start=1):
            last = number == len(group)
            layers.append(_layer(channels, width, kernel=3, padding=1, pool=pool if last else None))
            channels = width
    return layers


def _layer(inputs: int, outputs: int, *, kernel: int, padding: int, pool: nn.Module | None) -> nn.Sequential:
    conv = nn.Conv2d(inputs, PIECES * outputs, kernel, padding=padding)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, maxout=Maxout(PIECES))
    return nn.Sequential(layers if pool is None else layers | {"pool": pool})


def _overlapping() -> nn.MaxPool2d:
    """Windows of 4×4 that overlap by half; what is left at the edge counts as a window too."""
    return nn.MaxPool2d(4, stride=2, ceil_mode=True)
