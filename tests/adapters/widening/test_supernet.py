"""Views of a wider network: the given one inside it, drawn ones, and the given one out of it again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.adapters.widening.layers import Sliced
from limbeck.adapters.widening.supernet import plain, try_stretched, view_of, widen
from limbeck.core.bridge import Bridge
from limbeck.core.errors import MethodError
from limbeck.core.net import digest
from little import image_batch
from little_vision import colour_batch, network
from little_wide import EXPANDS, WIDTHS, mobile_net, shapes, stirred


def views(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return widen(model, widths=WIDTHS, expands=EXPANDS)


FAMILIES = [
    "resnet8", "wrn_16_1", "mobilenetv2", "mobilenetv2_tiny", "mcunet", "mobilenetv3_w035", "vgg8", "cnn", "mlp",
    "timm/mobilenetv2_050", "timm/mobilenetv3_small_050", "timm/tf_mobilenetv3_small_minimal_100", "timm/resnet10t",
    "torchvision/mobilenet_v2", "torchvision/mobilenet_v3_small", "torchvision/resnet18",
    "torchvision/efficientnet_b0",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_in_its_base_configuration_either_view_is_the_given_network_and_so_is_what_comes_out(name: str) -> None:
    model = stirred(network(name)).eval()
    wider = dict.fromkeys(("resnet18", "efficientnet_b0"), ((1.0, 1.2), (1.0, 1.2))).get(
        name.rpartition("/")[2], (WIDTHS, EXPANDS)
    )
    student, wide = widen(model, widths=wider[0], expands=wider[1])
    images, _ = colour_batch(2)
    expected = model(images)
    assert torch.equal(student(images), expected)
    assert torch.equal(wide(images), expected)
    out = plain(student)
    assert type(out) is type(model)
    assert shapes(out) == shapes(model)
    assert digest(out) == digest(model)
    view_of(wide).draw(Random(0), widths=wider[0][1:], expands=wider[1][1:])
    drawn = wide(images)
    assert drawn.shape == expected.shape
    assert not torch.allclose(drawn, expected)


@pytest.mark.parametrize("view", [lambda x: x.flatten(1), lambda x: x.view(x.size(0), -1)])
def test_lenet_with_its_flattened_maps(view: Callable[[Tensor], Tensor]) -> None:
    class LeNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Sequential(
                *(nn.Conv2d(3, 6, 5), nn.BatchNorm2d(6), nn.PReLU(6), nn.MaxPool2d(2)),
                *(nn.Conv2d(6, 8, 5), nn.ReLU(), nn.MaxPool2d(2)),
            )
            self.rest = nn.Sequential(nn.BatchNorm1d(200), nn.Dropout(), nn.Linear(200, 12), nn.PReLU(12))
            self.fc = nn.Linear(12, 10)

        def forward(self, images: Tensor) -> Tensor:
            return self.fc(self.rest(view(self.maps(images))))

    model = stirred(LeNet()).eval()
    student, wide = views(model)
    images, _ = colour_batch(2)
    expected = model(images)
    assert torch.equal(student(images), expected)
    assert digest(plain(student)) == digest(model)
    view_of(wide).stretch(widths=WIDTHS, expands=EXPANDS)
    try_stretched(wide, lambda network: network(images))
    assert wide(images).shape == (2, 10)
    assert wide.get_submodule("rest.0").layer.num_features == 25 * round(8 * max(WIDTHS))


def test_the_given_network_is_left_alone() -> None:
    model = mobile_net()
    before, parts = digest(model), [type(module) for module in model.modules()]
    student, wide = views(model)
    student(image_batch()[0]).sum().backward()
    wide(image_batch()[0]).sum().backward()
    assert digest(model) == before
    assert [type(module) for module in model.modules()] == parts
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_views_share_every_parameter_and_buffer_and_stay_so_when_they_are_moved() -> None:
    pair = nn.ModuleList(views(mobile_net()))
    pair.double()
    student, wide = ({n: t.data_ptr() for n, t in view.state_dict().items()} for view in pair)
    assert student == wide
    assert len(list(pair.parameters())) == len(list(pair[0].parameters()))


def test_modules_keep_their_names() -> None:
    model = mobile_net()
    for view in views(model):
        found = {name for name, _ in view.named_modules()}
        assert {name for name, _ in model.named_modules()} <= found


def test_additional_weights_follow_the_seed() -> None:
    first, same = (views(mobile_net())[0] for _ in range(2))
    torch.manual_seed(4)
    other = widen(mobile_net(), widths=WIDTHS, expands=EXPANDS)[0]
    assert digest(first) == digest(same) != digest(other)


def test_draws_are_uniform_and_independent_and_follow_the_generator() -> None:
    _, wide = views(mobile_net())
    view = view_of(wide)
    group = {layer.path: layer.rows for layer in view.plan.layers}
    stem, last = group["stem.conv"], group["last.conv"]
    counts: dict[tuple[int, int], int] = {}
    for seed in range(900):
        view.draw(Random(seed), widths=WIDTHS, expands=EXPANDS)
        key = (view.sizes[stem], view.sizes[last])
        counts[key] = counts.get(key, 0) + 1
    assert set(counts) == {(a, b) for a in (4, 6, 8) for b in (10, 15, 20)}
    assert min(counts.values()) > 65  # 100 each; four standard deviations are 38
    first = dict(view.sizes)
    view.draw(Random(899), widths=WIDTHS, expands=EXPANDS)
    assert view.sizes == first


def test_all_that_a_shortcut_joins_has_one_width() -> None:
    _, wide = views(mobile_net())
    view = view_of(wide)
    group = {layer.path: layer.rows for layer in view.plan.layers}
    assert group["layer1.0.project.conv"] == group["layer1.1.project.conv"] == group["layer1.1.project.bn"]
    for seed in range(20):  # any mixture of widths fits together
        view.draw(Random(seed), widths=WIDTHS, expands=EXPANDS)
        assert wide(image_batch(2)[0]).shape == (2, 3)


def test_the_student_stays_itself_while_the_wide_view_is_drawn() -> None:
    model = mobile_net().eval()
    student, wide = views(model)
    view_of(wide).draw(Random(1), widths=WIDTHS[1:], expands=EXPANDS[1:])
    assert view_of(student) is not view_of(wide)
    assert torch.equal(student.eval()(image_batch()[0]), model(image_batch()[0]))


def test_what_comes_out_has_the_weights_of_now_and_its_bridge() -> None:
    model = Bridge(mobile_net(), mean=[0.4], std=[0.3], channels=1, size=(8, 8)).eval()
    student, _ = views(model)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    out = plain(student).eval()
    images = image_batch()[0]
    assert isinstance(out, Bridge)
    assert torch.equal(out(images), student.eval()(images))
    assert not torch.allclose(out(images), model(images), atol=1e-3)
    assert not any(isinstance(module, Sliced) for module in out.modules())
    with torch.no_grad():
        next(out.parameters()).zero_()  # it owns its weights
    assert next(student.parameters()).any()


def test_a_layer_under_two_names_stays_one_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.again = self.conv
            self.fc = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.again(self.conv(self.stem(x)).relu()).mean((2, 3)))

    model = Twice().eval()
    student, wide = views(model)
    assert student.conv is student.again
    images = image_batch()[0]
    assert torch.equal(student(images), model(images))
    view_of(wide).draw(Random(0), widths=WIDTHS[1:], expands=EXPANDS)
    assert wide(images).shape == (8, 2)
    assert shapes(plain(student)) == shapes(model)


def test_a_copy_of_a_view_is_on_its_own() -> None:
    student, _ = views(mobile_net())
    copied = copy.deepcopy(student)
    with torch.no_grad():
        next(copied.parameters()).zero_()
    assert next(student.parameters()).any()


def test_another_network_is_no_view() -> None:
    with pytest.raises(MethodError, match="MobileNet is no view"):
        view_of(mobile_net())
    with pytest.raises(MethodError, match="is no view"):
        plain(mobile_net())


class Reaching(nn.Module):
    """A network that does not do all of its work through its attributes, or not in eval mode."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
        self.aside = nn.Conv2d(4, 4, 1)
        self.listed = [self.first, self.second, self.fc]
        self.how = how

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second, fc = self.listed if self.how == "list" else (self.first, self.second, self.fc)
        x = second(first(images).relu())
        if self.how == "training" and self.training:
            x = x + self.aside(x)
        if self.how == "class" and isinstance(second, nn.Conv2d):
            x = x.relu() ** 2
        if self.how == "weight":
            x = x.to(second.weight.dtype)
        if self.how == "keyword":
            x = second(input=x)
        return fc(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("list", r"module 'first' \(Conv2d\): forward does not reach it"),
        ("training", "with wider layers, in train mode, it raises: .*to have 4 channels"),
        ("class", "answers otherwise when its layers are replaced; does it ask for their class"),
        ("attributes", ""),
        ("weight", ""),
        ("keyword", ""),
    ],
)
def test_what_a_graph_does_not_tell_is_tried_before_training(how: str, message: str) -> None:
    _, wide = views(Reaching(how))
    view_of(wide).stretch(widths=WIDTHS, expands=EXPANDS)
    images, sizes = image_batch()[0], view_of(wide).sizes
    with pytest.raises(MethodError, match=message) if message else nullcontext():
        try_stretched(wide, lambda model: model(images))
    assert view_of(wide).sizes == sizes
    assert wide.second.layer.weight.shape[0] == sizes[wide.second.place.rows] == round(4 * max(WIDTHS))
    assert not any(module._forward_pre_hooks for module in wide.modules())


class Standardised(nn.Conv2d):
    """A convolution whose code reads its own figures, as weight standardisation does."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.reshape(self.out_channels, self.in_channels // self.groups, -1)
        return F.conv2d(x, (self.weight - rows.mean((1, 2))[:, None, None, None]), groups=self.groups)


@pytest.mark.parametrize("drawn", [WIDTHS[:1], WIDTHS[-1:]])
def test_layers_that_read_their_own_figures_read_the_active_ones(drawn: tuple[float, ...]) -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), Standardised(4, 6, 3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(6, 2),
    )
    images = colour_batch(3, side=8)[0]
    student, wide = views(model)
    torch.testing.assert_close(student(images), model(images))
    view_of(wide).draw(Random(0), widths=drawn, expands=EXPANDS[-1:])
    layer = wide[1]
    rows, columns = layer.place.shape(view_of(wide).sizes)
    assert columns is not None
    by_hand = Standardised(columns, rows, 3, bias=False)
    by_hand.load_state_dict({"weight": layer.layer.weight[:rows, :columns]})
    x = torch.rand(2, columns, 4, 4)
    torch.testing.assert_close(layer(x), by_hand(x))
    assert (layer.out_channels, layer.in_channels) == (rows, columns)
    assert layer.layer.out_channels == len(layer.layer.weight)


def test_what_lies_outside_of_layers_is_shared_too() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.slope, self.fc = nn.Conv2d(1, 4, 3), nn.PReLU(), nn.Linear(4, 2)
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, images: Tensor) -> Tensor:
            return self.fc(self.slope(self.conv(images)).mean((2, 3)) * self.scale)

    student, wide = views(Scaled())
    own = dict(student.named_parameters())
    assert {"slope.weight", "scale"} < set(own)
    assert all(parameter is own[name] for name, parameter in wide.named_parameters())
