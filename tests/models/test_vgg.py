import pytest
import torch
from torch import nn

from limbeck.core.errors import ModelError
from limbeck.models import vgg

from .counts import bn, conv, linear, millions, parameters, shapes

WIDTHS = (64, 128, 256, 512, 512)


def closed_form(convolutions: tuple[int, ...], classes: int) -> int:
    total, before = linear(512, classes), 3
    for number, after in zip(convolutions, WIDTHS, strict=True):
        for _ in range(number):
            total += conv(before, after, 3) + after + bn(after)  # with a bias
            before = after
    return total


@pytest.mark.parametrize(
    ("name", "convolutions", "published"),
    [  # vgg8 and vgg13: the tables of knowledge distillation; vgg19: 20.09 in lists of CIFAR-100 networks
        ("vgg8", (1, 1, 1, 1, 1), 3.96),
        ("vgg11", (1, 1, 2, 2, 2), None),
        ("vgg13", (2, 2, 2, 2, 2), 9.46),
        ("vgg16", (2, 2, 3, 3, 3), None),
        ("vgg19", (2, 2, 4, 4, 4), 20.09),
    ],
)
def test_parameters_are_those_of_the_tables(name, convolutions, published):
    with torch.device("meta"):
        network = getattr(vgg, name)(classes=100, channels=3, height=32, width=32)
    assert parameters(network) == closed_form(convolutions, 100)
    if published is not None:
        assert millions(network) == pytest.approx(published, abs=0.0051)


def test_small_images_are_pooled_three_times():
    network = vgg.vgg8(classes=10, channels=3, height=32, width=32)
    paths = ("layer1", "layer2", "layer3", "layer4", "layer5", "pool")
    assert shapes(network, torch.rand(1, 3, 32, 32), *paths) == [
        [64, 32, 32], [128, 16, 16], [256, 8, 8], [512, 4, 4], [512, 4, 4], [512],
    ]  # fmt: skip


def test_images_of_64_pixels_are_pooled_four_times():
    network = vgg.vgg8(classes=10, channels=3, height=64, width=64)
    assert shapes(network, torch.rand(1, 3, 64, 64), "layer5") == [[512, 4, 4]]


def test_layers_end_with_a_relu():
    network = vgg.vgg11(classes=10, channels=3, height=8, width=8)
    assert [name for name, _ in network.layer4.named_children()] == ["conv1", "bn1", "relu1", "conv2", "bn2", "relu2"]
    assert isinstance(network.layer4.relu2, nn.ReLU)


def test_classifier_starts_small():
    network = vgg.vgg8(classes=100, channels=3, height=8, width=8)
    assert network.fc.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert not network.fc.bias.any()


def test_too_small_images_are_refused():
    with pytest.raises(ModelError, match="at least 8 pixels a side; 7 came"):
        vgg.vgg8(classes=10, channels=3, height=9, width=7)
