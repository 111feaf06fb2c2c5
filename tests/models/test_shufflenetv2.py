import pytest
import torch

from limbeck.core.errors import ModelError
from limbeck.models.shufflenetv2 import SplitBlock, shufflenetv2

from .counts import bn, conv, linear, millions, parameters, shapes


def closed_form(widths: tuple[int, int, int, int], classes: int) -> int:
    *stages, last = widths
    total = conv(3, 24, 1) + bn(24) + conv(stages[-1], last, 1) + bn(last) + linear(last, classes)
    before = 24
    for after, blocks in zip(stages, (4, 8, 4), strict=True):
        half = after // 2
        total += conv(before, before, 3, groups=before) + conv(before, half, 1) + bn(before, half)
        total += conv(before, half, 1) + conv(half, half, 3, groups=half) + conv(half, half, 1) + bn(half, half, half)
        block = 2 * conv(half, half, 1) + conv(half, half, 3, groups=half) + bn(half, half, half)
        total += (blocks - 1) * block
        before = after
    return total


def test_parameters_are_those_of_the_tables():
    network = shufflenetv2(classes=100)
    assert parameters(network) == closed_form((116, 232, 464, 1024), 100)
    assert millions(network) == pytest.approx(1.36, abs=0.005)


@pytest.mark.parametrize("width", [0.5, 1.0, 1.5, 2.0])
def test_the_body_has_the_parameters_of_torchvision(width):
    """The stages do not depend on the stem: ours is 1x1, torchvision's is 3x3."""
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        name = f"shufflenet_v2_x{width:.1f}".replace(".", "_")
        theirs = models.get_model(name, weights=None, num_classes=100)
        ours = shufflenetv2(classes=100, width=width)
    assert parameters(ours) - parameters(ours.stem) == parameters(theirs) - parameters(theirs.conv1)


def test_stages_halve_the_image():
    paths = ("stem", "layer1", "layer2", "layer3", "last", "pool")
    assert shapes(shufflenetv2(classes=10), torch.rand(2, 3, 32, 32), *paths) == [
        [24, 32, 32], [116, 16, 16], [232, 8, 8], [464, 4, 4], [1024, 4, 4], [1024],
    ]  # fmt: skip


def test_half_of_the_channels_pass_unchanged():
    block = SplitBlock(8).eval()
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x)[:, 0::2], x[:, :4])


def test_other_widths_are_refused():
    with pytest.raises(ModelError, match=r"0\.5, 1\.0, 1\.5, 2\.0, not for 0\.7"):
        shufflenetv2(classes=10, width=0.7)
