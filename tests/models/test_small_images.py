import pytest
import torch

from limbeck.models import small_images
from limbeck.models.build import build

from .counts import millions, shapes

pytest.importorskip("torchvision")


@pytest.mark.parametrize(("name", "published"), [("resnet18", 11.22), ("resnet34", 21.33), ("resnet50", 23.71)])
def test_parameters_are_those_of_the_tables(name, published):
    with torch.device("meta"):
        network = getattr(small_images, name)(classes=100)
    assert millions(network) == pytest.approx(published, abs=0.005)


def test_only_three_stages_halve_the_image():
    network = build("resnet18", {}, classes=7, channels=1, height=32, width=32)
    paths = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "fc")
    assert shapes(network, torch.rand(2, 1, 32, 32), *paths) == [
        [64, 32, 32], [64, 32, 32], [64, 32, 32], [128, 16, 16], [256, 8, 8], [512, 4, 4], [7],
    ]  # fmt: skip


def test_the_first_convolution_is_drawn_for_its_outputs():
    torch.manual_seed(0)
    weight = small_images.resnet18(classes=10).conv1.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
