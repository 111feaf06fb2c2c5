import pytest
import torch

from limbeck.models.shufflenetv1 import ShuffleBlock, shufflenetv1

from .counts import bn, conv, linear, millions, parameters, shapes


def closed_form(classes: int) -> int:
    total, before = conv(3, 24, 1) + bn(24) + linear(960, classes), 24
    for after, blocks in ((240, 4), (480, 8), (960, 4)):
        for number in range(blocks):
            own = after - before if number == 0 else after
            inside = own // 4
            total += conv(before, inside, 1, groups=1 if before == 24 else 3)
            total += conv(inside, inside, 3, groups=inside) + conv(inside, own, 1, groups=3)
            total += bn(inside, inside, own)
            before = after
    return total


def test_parameters_are_those_of_the_tables():
    network = shufflenetv1(classes=100)
    assert parameters(network) == closed_form(100)
    assert millions(network) == pytest.approx(0.95, abs=0.005)


def test_stages_halve_the_image():
    paths = ("stem", "layer1", "layer2", "layer3", "pool")
    assert shapes(shufflenetv1(classes=10), torch.rand(2, 3, 32, 32), *paths) == [
        [24, 32, 32], [240, 16, 16], [480, 8, 8], [960, 4, 4], [960],
    ]  # fmt: skip


def test_a_strided_block_carries_its_pooled_input_behind_its_own_channels():
    block = ShuffleBlock(24, 48, stride=2).eval()
    x = torch.rand(2, 24, 6, 6)
    torch.testing.assert_close(block(x)[:, 24:], torch.nn.functional.avg_pool2d(x, 3, stride=2, padding=1))


def test_a_plain_block_adds_its_input():
    block = ShuffleBlock(48, 48, stride=1).eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.randn(2, 48, 6, 6)
    assert torch.equal(block(x), x.clamp(min=0))
