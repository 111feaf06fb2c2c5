"""VGG with BatchNorm for small images, as in the CIFAR-100 tables of knowledge distillation.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, arXiv
1409.1556; configurations A, B, D, E are vgg11, 13, 16, 19. `vgg8` (one convolution per stage) and the changes below are
those of the tables that follow CRD (arXiv 1910.10699).

Modules, as feature taps name them: `layer1` … `layer5` (after their last ReLU), `pool1` … `pool4`, `pool` ([b, 512]),
`fc`. Inside a layer: `conv1`, `bn1`, `relu1`, `conv2`, …

Differs from the paper: BatchNorm after each convolution; one linear layer instead of three; the last pooling is a
global mean; images below 64 pixels are not pooled before `layer5`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.errors import ModelError
from limbeck.models.layers import Positive, global_pool, he_normal_, small_normal_

WIDTHS = (64, 128, 256, 512, 512)


def vgg8(*, classes: Positive, channels: Positive, height: Positive, width: Positive) -> Vgg:
    """3.965 M parameters for 100 classes."""
    return Vgg((1, 1, 1, 1, 1), classes=classes, channels=channels, size=min(height, width))


def vgg11(*, classes: Positive, channels: Positive, height: Positive, width: Positive) -> Vgg:
    """9.28 M parameters for 100 classes."""
    return Vgg((1, 1, 2, 2, 2), classes=classes, channels=channels, size=min(height, width))


def vgg13(*, classes: Positive, channels: Positive, height: Positive, width: Positive) -> Vgg:
    """9.46 M parameters for 100 classes."""
    return Vgg((2, 2, 2, 2, 2), classes=classes, channels=channels, size=min(height, width))


def vgg16(*, classes: Positive, channels: Positive, height: Positive, width: Positive) -> Vgg:
    """14.77 M parameters for 100 classes."""
    return Vgg((2, 2, 3, 3, 3), classes=classes, channels=channels, size=min(height, width))


def vgg19(*, classes: Positive, channels: Positive, height: Positive, width: Positive) -> Vgg:
    """20.09 M parameters for 100 classes."""
    return Vgg((2, 2, 4, 4, 4), classes=classes, channels=channels, size=min(height, width))


class Vgg(nn.Module):
    """Five stages of convolutions with pooling between them, global mean, classifier.

    Args:
        convolutions: number of 3x3 convolutions in each of the five stages.
        classes: number of logits.
        channels: of the image.
        size: the shorter side of the image, pixels.

    Raises:
        ModelError: the image is smaller than 8 pixels, so that nothing is left after three poolings.
    """

    def __init__(self, convolutions: Sequence[int], *, classes: int, channels: int, size: int) -> None:
        super().__init__()
        if size < 8:
            raise ModelError(f"VGG halves the image three times and needs at least 8 pixels a side; {size} came")
        inputs = (channels, *WIDTHS[:-1])
        self.layer1 = _stage(inputs[0], WIDTHS[0], convolutions=convolutions[0])
        self.pool1 = nn.MaxPool2d(2)
        self.layer2 = _stage(inputs[1], WIDTHS[1], convolutions=convolutions[1])
        self.pool2 = nn.MaxPool2d(2)
        self.layer3 = _stage(inputs[2], WIDTHS[2], convolutions=convolutions[2])
        self.pool3 = nn.MaxPool2d(2)
        self.layer4 = _stage(inputs[3], WIDTHS[3], convolutions=convolutions[3])
        self.pool4 = nn.MaxPool2d(2) if size >= 64 else nn.Identity()
        self.layer5 = _stage(inputs[4], WIDTHS[4], convolutions=convolutions[4])
        self.pool = global_pool()
        self.fc = nn.Linear(WIDTHS[-1], classes)
        he_normal_(self)
        small_normal_(self.fc)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        x = self.pool1(self.layer1(images))
        x = self.pool2(self.layer2(x))
        x = self.pool3(self.layer3(x))
        x = self.pool4(self.layer4(x))
        return self.fc(self.pool(self.layer5(x)))


def _stage(inputs: int, outputs: int, *, convolutions: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, convolutions + 1):
        layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
        layers[f"bn{number}"] = nn.BatchNorm2d(outputs)
        layers[f"relu{number}"] = nn.ReLU()
        inputs = outputs
    return nn.Sequential(layers)
