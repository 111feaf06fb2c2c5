import pytest
import torch
from torch.nn import functional as F

from limbeck.core.errors import ModelError
from limbeck.models import cifar_resnet
from limbeck.models.cifar_resnet import NARROW, WIDE, BasicBlock, resnet

from .counts import bn, conv, linear, millions, parameters, shapes


def closed_form(depth: int, widths: tuple[int, ...], classes: int) -> int:
    n = (depth - 2) // 6
    total = conv(3, widths[0], 3) + bn(widths[0]) + linear(widths[3], classes)
    for before, after, halves in zip(widths[:-1], widths[1:], (False, True, True), strict=True):
        total += conv(before, after, 3) + (2 * n - 1) * conv(after, after, 3) + bn(after) * 2 * n
        if halves or before != after:
            total += conv(before, after, 1) + bn(after)
    return total


@pytest.mark.parametrize(
    ("name", "depth", "widths", "published"),
    [  # millions of parameters in the CIFAR-100 tables of knowledge distillation
        ("resnet8", 8, NARROW, 0.08),
        ("resnet14", 14, NARROW, 0.18),
        ("resnet20", 20, NARROW, 0.28),
        ("resnet26", 26, NARROW, 0.38),
        ("resnet32", 32, NARROW, 0.47),
        ("resnet44", 44, NARROW, 0.67),
        ("resnet56", 56, NARROW, 0.86),
        ("resnet110", 110, NARROW, 1.74),
        ("resnet8x4", 8, WIDE, 1.23),
        ("resnet32x4", 32, WIDE, 7.43),
    ],
)
def test_parameters_are_those_of_the_tables(name, depth, widths, published):
    with torch.device("meta"):
        network = getattr(cifar_resnet, name)(classes=100)
    assert parameters(network) == closed_form(depth, widths, 100)
    assert millions(network) == pytest.approx(published, abs=0.005)


def test_stages_halve_the_image():
    network = cifar_resnet.resnet8x4(classes=100)
    paths = ("stem", "layer1", "layer2", "layer3", "pool", "fc")
    assert shapes(network, torch.rand(2, 3, 32, 32), *paths) == [
        [32, 32, 32], [64, 32, 32], [128, 16, 16], [256, 8, 8], [256], [100],
    ]  # fmt: skip


def test_a_block_is_the_residual_formula():
    block = BasicBlock(4, 6, stride=2).eval()
    x = torch.randn(2, 4, 8, 8)

    def norm(layer, values):
        return values / (1 + layer.eps) ** 0.5  # fresh statistics: mean 0, variance 1, scale 1, shift 0

    y = F.relu(norm(block.bn1, F.conv2d(x, block.conv1.weight, stride=2, padding=1)))
    y = norm(block.bn2, F.conv2d(y, block.conv2.weight, padding=1))
    shortcut = norm(block.shortcut.bn, F.conv2d(x, block.shortcut.conv.weight, stride=2))
    torch.testing.assert_close(block(x), F.relu(y + shortcut))


def test_a_tap_sees_the_sum_before_the_last_relu():
    network = resnet(classes=10, depth=14).eval()
    seen = {}
    relu = network.get_submodule("layer1.1.relu2")
    relu.register_forward_hook(lambda module, inputs, output: seen.update(before=inputs[0], after=output))
    network(torch.rand(1, 3, 8, 8))
    assert seen["before"].min() < 0  # nothing overwrote it
    torch.testing.assert_close(seen["after"], seen["before"].clamp(min=0))


@pytest.mark.parametrize("depth", [2, 9, 18])
def test_other_depths_are_refused(depth):
    with pytest.raises(ModelError, match=f"6n \\+ 2.*not {depth}"):
        resnet(classes=10, depth=depth)


def test_four_widths_are_needed():
    with pytest.raises(ModelError, match="4 numbers; 3 came"):
        resnet(classes=10, depth=8, widths=(16, 32, 64))
