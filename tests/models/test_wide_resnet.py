import pytest
import torch
from torch.nn import functional as F

from limbeck.core.errors import ModelError
from limbeck.models import wide_resnet
from limbeck.models.wide_resnet import PreActivationBlock, wrn

from .counts import bn, conv, linear, millions, parameters, shapes


def closed_form(depth: int, width: int, classes: int) -> int:
    n = (depth - 4) // 6
    total = conv(3, 16, 3)
    before = 16
    for after in (16 * width, 32 * width, 64 * width):
        total += conv(before, after, 3) + (2 * n - 1) * conv(after, after, 3)
        total += bn(before) + (2 * n - 1) * bn(after)
        total += conv(before, after, 1) if before != after else 0
        before = after
    return total + bn(before) + linear(before, classes)


@pytest.mark.parametrize(
    ("name", "depth", "width", "published"),
    [  # millions of parameters in the CIFAR-100 tables of knowledge distillation
        ("wrn_16_1", 16, 1, 0.18),
        ("wrn_16_2", 16, 2, 0.70),
        ("wrn_40_1", 40, 1, 0.57),
        ("wrn_40_2", 40, 2, 2.26),
    ],
)
def test_parameters_are_those_of_the_tables(name, depth, width, published):
    with torch.device("meta"):
        network = getattr(wide_resnet, name)(classes=100)
    assert parameters(network) == closed_form(depth, width, 100)
    assert millions(network) == pytest.approx(published, abs=0.005)


def test_wrn_28_10_has_the_parameters_of_the_paper():
    # Zagoruyko and Komodakis, Table 4: 36.5 M with ten classes
    with torch.device("meta"):
        network = wrn(classes=10, depth=28, width=10)
    assert parameters(network) == closed_form(28, 10, 10)
    assert millions(network) == pytest.approx(36.5, abs=0.05)


def test_stages_halve_the_image_and_are_not_activated():
    network = wrn(classes=10, depth=10, width=2).eval()
    images = torch.rand(2, 3, 32, 32)
    paths = ("stem", "layer1", "layer2", "layer3", "pool")
    assert shapes(network, images, *paths) == [[16, 32, 32], [32, 32, 32], [64, 16, 16], [128, 8, 8], [128]]
    stem = network.stem(images)
    assert network.layer1(stem).min() < 0


def test_a_projection_sees_the_activated_input():
    block = PreActivationBlock(4, 6, stride=1, dropout=0.0).eval()
    x = torch.randn(2, 4, 5, 5)
    active = F.relu(x / (1 + block.bn1.eps) ** 0.5)
    y = F.relu(F.conv2d(active, block.conv1.weight, padding=1) / (1 + block.bn2.eps) ** 0.5)
    y = F.conv2d(y, block.conv2.weight, padding=1)
    torch.testing.assert_close(block(x), y + F.conv2d(active, block.shortcut.weight))


def test_an_identity_shortcut_sees_the_plain_input():
    block = PreActivationBlock(4, 4, stride=1, dropout=0.0).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_dropout_acts_in_training_only():
    network = wrn(classes=10, depth=10, width=1, dropout=0.5)
    images = torch.rand(2, 3, 8, 8)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_other_depths_are_refused():
    with pytest.raises(ModelError, match=r"6n \+ 4.*not 20"):
        wrn(classes=10, depth=20, width=1)
