import pytest
import torch

from limbeck.core.errors import ModelError
from limbeck.models import ZOO
from limbeck.models.build import build

NEEDED = {"resnet": {"depth": 8}, "wrn": {"depth": 10, "width": 1}}
SMALLEST = {"fitnet_mnist": 28, "maxout_mnist": 28}
"""Side of the smallest image, of networks that refuse smaller ones; all others take 8 pixels."""
SIZES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (4, 8, 24)]


@pytest.mark.parametrize(
    ("name", "channels", "height", "width"),
    [(name, *size) for name in ZOO for size in SIZES if min(size[1:]) >= SMALLEST.get(name, 8)],
)
def test_every_network_takes_every_image(name, channels, height, width):
    with torch.device("meta"):  # shapes without arithmetic
        network = build(name, NEEDED.get(name, {}), classes=7, channels=channels, height=height, width=width).eval()
        assert network(torch.rand(2, channels, height, width)).shape == (2, 7)


@pytest.mark.parametrize("name", ZOO)
def test_every_network_learns_and_can_be_tapped(name):
    side = SMALLEST.get(name, 8)
    network = build(name, NEEDED.get(name, {}), classes=3, channels=1, height=side, width=side)
    assert isinstance(network.get_submodule("fc"), torch.nn.Linear)
    assert {"layer1", "fc"} <= dict(network.named_children()).keys()
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    network(torch.rand(4, 1, side, side)).square().mean().backward()
    still = [path for path, parameter in network.named_parameters() if parameter.grad is None]
    assert not still
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_seed_decides_the_weights():
    first, same, other = (
        torch.manual_seed(seed) and build("resnet8", {}, classes=3, channels=1, height=8, width=8) for seed in (1, 1, 2)
    )
    assert torch.equal(first.fc.weight, same.fc.weight)
    assert torch.equal(first.stem.conv.weight, same.stem.conv.weight)
    assert not torch.equal(first.stem.conv.weight, other.stem.conv.weight)


def test_a_number_of_classes_is_needed_without_published_weights():
    with pytest.raises(ModelError, match="resnet8 needs a number of classes"):
        build("resnet8", {}, classes=None, channels=1, height=8, width=8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet21", r"no network is called 'resnet21' \(close: .*resnet20"),
        ("tim/resnet18", "timm/NAME"),
        ("timm/", "timm/NAME"),
        ("torchvision", "torchvision/NAME"),
        ("fractions:Fraction", "gave an object of type Fraction; expected a torch.nn.Module"),
    ],
)
def test_names_that_are_no_network(name, message):
    with pytest.raises(ModelError, match=message):
        build(name, {}, classes=3, channels=1, height=8, width=8)
