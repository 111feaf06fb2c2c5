import pytest
import torch

from limbeck.core.errors import ModelError
from limbeck.models.mobilenetv2 import InvertedResidual, mobilenetv2

from .counts import bn, conv, linear, millions, parameters, shapes

HALF = [(8, 1), (12, 2), (16, 3), (32, 4), (48, 3), (80, 3), (160, 1)]  # channels at width 0.5, blocks


def closed_form(classes: int) -> int:
    total = conv(3, 16, 3) + bn(16) + conv(160, 1280, 1) + bn(1280) + linear(1280, classes)
    before = 16
    for stage, (after, blocks) in enumerate(HALF):
        for _ in range(blocks):
            inside = before * (6 if stage else 1)
            total += conv(before, inside, 1) + conv(inside, inside, 3, groups=inside) + conv(inside, after, 1)
            total += bn(inside, inside, after)
            before = after
    return total


def test_parameters_are_those_of_the_tables():
    network = mobilenetv2(classes=100)
    assert parameters(network) == closed_form(100)
    assert millions(network) == pytest.approx(0.81, abs=0.005)


def test_shapes_at_32_pixels():
    paths = ("stem", "layer2", "layer3", "layer5", "layer7", "pool")
    assert shapes(mobilenetv2(classes=10), torch.rand(2, 3, 32, 32), *paths) == [
        [16, 16, 16], [12, 16, 16], [16, 8, 8], [48, 4, 4], [160, 2, 2], [1280],
    ]  # fmt: skip


def test_the_last_convolution_only_grows():
    with torch.device("meta"):
        assert mobilenetv2(classes=10, width=0.25).fc.in_features == 1280
        assert mobilenetv2(classes=10, width=2.0).fc.in_features == 2560


def test_a_block_adds_its_input_where_the_shape_stays():
    x = torch.randn(2, 4, 6, 6)
    same, wider = (InvertedResidual(4, outputs, stride=1, expansion=2).eval() for outputs in (4, 5))
    for block in (same, wider):
        torch.nn.init.zeros_(block.project.conv.weight)
    assert torch.equal(same(x), x)
    assert not wider(x).any()


def test_a_width_without_channels_is_refused():
    with pytest.raises(ModelError, match="1/16"):
        mobilenetv2(classes=10, width=0.01)
    mobilenetv2(classes=10, width=1 / 16)
