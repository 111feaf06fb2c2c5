"""Counts against closed forms and the paper's figures, and the layers that FitNets compares."""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.errors import ModelError
from limbeck.models import fitnet
from limbeck.models.build import build

from .counts import conv, linear, millions, parameters, shapes

GROUPS = {
    "fitnet1": ((16, 16, 16), (32, 32, 32), (48, 48, 64)),
    "fitnet2": ((16, 32, 32), (48, 64, 80), (96, 96, 128)),
    "fitnet3": ((32, 48, 64, 64), (80, 80, 80, 80), (128, 128, 128)),
    "fitnet4": ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
}
"""Channels of the layers between two poolings: the table of the paper's appendix."""


def convolutions(channels: int, widths: Sequence[int]) -> int:
    """3×3 layers of maxout with two pieces: twice as many channels, with biases."""
    before = (channels, *widths[:-1])
    return sum(conv(inputs, 2 * outputs, 3) + 2 * outputs for inputs, outputs in zip(before, widths, strict=True))


@pytest.mark.parametrize(
    ("name", "layers", "published", "tolerance"),
    [  # the paper counts 250 K, 862 K, 1.6 M and 2.5 M, without biases; the third comes out as 1.50 M
        ("fitnet1", 11, 0.250, 0.0005),
        ("fitnet2", 11, 0.862, 0.0005),
        ("fitnet3", 13, 1.50, 0.005),
        ("fitnet4", 19, 2.54, 0.005),
    ],
)
def test_parameters_of_the_students_on_cifar(name: str, layers: int, published: float, tolerance: float) -> None:
    network = build(name, {}, classes=10, channels=3, height=32, width=32)
    widths = sum(GROUPS[name], ())
    hidden = linear(128 if name != "fitnet1" else 64, 1000) + linear(500, 10)
    assert parameters(network) == convolutions(3, widths) + hidden
    biases = 2 * sum(widths) + 1000 + 10
    assert millions(network) - biases / 1e6 == pytest.approx(published, abs=tolerance)
    assert len(widths) + 2 == layers


@pytest.mark.parametrize("channels", [1, 3])
def test_parameters_of_the_student_on_mnist(channels: int) -> None:
    network = fitnet.fitnet_mnist(classes=10, channels=channels)
    assert parameters(network) == convolutions(channels, (16, 16, 16, 16, 12, 12)) + linear(12 * 3 * 3, 10)
    if channels == 1:
        assert millions(network) == pytest.approx(0.021, abs=0.0005)


def test_parameters_of_the_teacher_on_mnist() -> None:
    network = fitnet.maxout_mnist(classes=10)
    layers = ((1, 48, 8), (48, 48, 8), (48, 24, 5))
    total = sum(conv(inputs, 2 * outputs, kernel) + 2 * outputs for inputs, outputs, kernel in layers)
    assert parameters(network) == total + linear(24 * 3 * 3, 10)
    assert millions(network) == pytest.approx(0.361, abs=0.0005)


def test_classes_change_the_last_layer_alone() -> None:
    few, many = (fitnet.fitnet1(classes=classes) for classes in (10, 100))
    assert parameters(many) - parameters(few) == linear(500, 100) - linear(500, 10)


@pytest.mark.parametrize(("name", "groups"), GROUPS.items())
def test_layers_are_numbered_through_and_a_group_ends_with_pooling(name: str, groups: tuple[tuple[int]]) -> None:
    network = getattr(fitnet, name)(classes=10)
    widths, paths = sum(groups, ()), [f"layer{number}" for number in range(1, len(sum(groups, ())) + 1)]
    assert [path for path, _ in network.named_children()] == [*paths, "flatten", "hidden", "fc"]
    ends = [len(groups[0]), len(groups[0]) + len(groups[1]), len(widths)]
    for number, path in enumerate(paths, start=1):
        inside = [inner for inner, _ in network.get_submodule(path).named_children()]
        assert inside == (["conv", "maxout", "pool"] if number in ends else ["conv", "maxout"])
    sides = [32 if n < ends[0] else 16 if n < ends[1] else 8 if n < ends[2] else 1 for n in range(1, ends[2] + 1)]
    expected = [[width, side, side] for width, side in zip(widths, sides, strict=True)]
    found = shapes(network, torch.rand(2, 3, 32, 32), *paths, "hidden", "fc")
    assert found == [*expected, [500], [10]]


def test_the_guided_layer_of_fitnet_4_ends_the_second_group() -> None:
    network = fitnet.fitnet4(classes=10)
    assert shapes(network, torch.rand(1, 3, 32, 32), "layer10", "layer11") == [[80, 16, 16], [80, 8, 8]]


def test_guided_layer_and_hint_layer_on_mnist() -> None:
    images = torch.rand(2, 1, 28, 28)
    student, teacher = fitnet.fitnet_mnist(classes=10), fitnet.maxout_mnist(classes=10)
    assert shapes(student, images, *(f"layer{n}" for n in range(1, 7))) == [
        [16, 28, 28], [16, 13, 13], [16, 13, 13], [16, 6, 6], [12, 6, 6], [12, 3, 3],
    ]  # fmt: skip
    assert shapes(teacher, images, "layer1", "layer2", "layer3") == [[48, 10, 10], [48, 4, 4], [24, 3, 3]]


def maxout(x: Tensor) -> Tensor:
    """The larger of each two neighbouring channels."""
    return torch.maximum(x[:, 0::2], x[:, 1::2])


def by_fours(x: Tensor) -> Tensor:
    """Windows of 4×4 every 2 places; what is left at the edge of a map of odd size is one more window."""
    odd = x.shape[-1] % 2
    return F.max_pool2d(F.pad(x, (0, odd, 0, odd), value=-torch.inf), 4, stride=2)


def by_twos(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def convolved(network: nn.Module, x: Tensor, pools: Mapping[int, Callable[[Tensor], Tensor]]) -> Tensor:
    """All 3×3 layers, written out; number of a layer -> what pools after it."""
    for number in range(1, max(pools) + 1):
        conv = network.get_submodule(f"layer{number}.conv")
        x = pools.get(number, lambda x: x)(maxout(F.conv2d(x, conv.weight, conv.bias, padding=1)))
    return x.flatten(1)


def test_the_student_on_mnist_is_what_the_paper_says() -> None:
    network, images = fitnet.fitnet_mnist(classes=10), torch.rand(3, 1, 28, 28)
    x = convolved(network, images, {2: by_fours, 4: by_fours, 6: by_twos})
    torch.testing.assert_close(network(images), F.linear(x, network.fc.weight, network.fc.bias))


def test_the_students_on_cifar_are_what_the_paper_says() -> None:
    network, images = fitnet.fitnet1(classes=10), torch.rand(3, 3, 32, 32)
    x = convolved(network, images, {3: by_twos, 6: by_twos, 9: lambda x: x.amax((2, 3))})
    hidden = maxout(F.linear(x, network.hidden[0].weight, network.hidden[0].bias))
    torch.testing.assert_close(network(images), F.linear(hidden, network.fc.weight, network.fc.bias))


def test_more_layers_in_a_group_make_it_deeper_and_change_no_map() -> None:
    groups = [[16] * 8, [16] * 8, [12] * 8]
    network = fitnet.fitnet_mnist(classes=10, groups=groups)
    assert parameters(network) == convolutions(1, [16] * 16 + [12] * 8) + linear(12 * 3 * 3, 10)
    found = shapes(network, torch.rand(1, 1, 28, 28), "layer7", "layer8", "layer16", "layer24")
    assert found == [[16, 28, 28], [16, 13, 13], [16, 6, 6], [12, 3, 3]]
    assert not hasattr(network, "layer25")


@pytest.mark.parametrize("make", [fitnet.fitnet1, fitnet.fitnet_mnist, fitnet.maxout_mnist])
def test_uniform_bounds_all_weights_and_leaves_no_bias(make: object) -> None:
    network = make(classes=10, uniform=0.005)
    seen = 0
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            seen += module.weight.numel() + module.bias.numel()
            assert module.weight.abs().max() <= 0.005
            assert module.weight.std().item() == pytest.approx(0.005 / 3**0.5, rel=0.1)
            assert module.weight.min() < -0.004
            assert not module.bias.any()
    assert seen == parameters(network)
    assert make(classes=10).fc.bias.any()  # torch's own


@pytest.mark.parametrize(
    ("make", "pixels"), [(fitnet.fitnet_mnist, 3), (fitnet.maxout_mnist, 7), (fitnet.maxout_mnist, 8)]
)
def test_too_small_images_are_refused(make: object, pixels: int) -> None:
    with pytest.raises(ModelError, match=rf"image of {pixels}×{pixels} pixels is too small for this network"):
        make(classes=10, height=pixels, width=pixels)


@pytest.mark.parametrize("groups", [[[16], [16]], [[16], [], [12]], [[16]] * 4])
def test_other_than_three_filled_groups_are_refused(groups: list[list[int]]) -> None:
    with pytest.raises(ModelError, match="layers in three groups, none of them empty"):
        fitnet.fitnet_mnist(classes=10, groups=groups)


@pytest.mark.parametrize("size", [(28, 28), (32, 24), (20, 20)])
def test_the_classifier_fits_the_image(size: tuple[int, int]) -> None:
    height, width = size
    for make in (fitnet.fitnet_mnist, fitnet.maxout_mnist):
        network = make(classes=4, height=height, width=width)
        assert network(torch.rand(2, 1, height, width)).shape == (2, 4)
