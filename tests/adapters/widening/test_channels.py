"""Which channels belong together, and what cannot be followed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.widening.channels import Channels
from limbeck.core.errors import MethodError
from little_vision import network
from little_wide import mobile_net


def layers(model: nn.Module) -> dict[str, tuple[int, int | None]]:
    return {one.path: (one.rows, one.columns) for one in Channels(model).layers}


def test_depthwise_batch_norm_and_gates_stay_in_the_group_of_their_input() -> None:
    found = layers(mobile_net())
    block = {path.removeprefix("layer1.1."): groups for path, groups in found.items() if path.startswith("layer1.1.")}
    inside, whole = block["expand.conv"]
    assert block["expand.bn"] == block["depthwise.conv"] == block["depthwise.bn"] == (inside, None)
    between = block["squeeze.reduce"][0]
    assert block["squeeze.reduce"] == (between, inside)
    assert block["squeeze.excite"] == (inside, between)
    assert block["project.conv"] == (whole, inside)
    assert found["layer1.0.project.conv"][0] == whole  # the shortcut
    assert len({inside, whole, between}) == 3


def test_images_and_logits_are_fixed_and_nothing_else() -> None:
    channels = Channels(mobile_net())
    by_path = {one.path: one for one in channels.layers}
    fixed = {group for one in channels.layers for group in (one.rows, one.columns) if group is not None}
    fixed = {group for group in fixed if channels.fixed(group)}
    assert fixed == {by_path["stem.conv"].columns, by_path["fc"].rows}


def test_a_downsampling_shortcut_has_the_width_of_what_it_is_added_to() -> None:
    found = layers(network("resnet8"))
    assert found["layer2.0.conv2"][0] == found["layer2.0.shortcut.conv"][0] == found["layer2.0.shortcut.bn"][0]
    assert found["layer2.0.conv1"][1] == found["layer2.0.shortcut.conv"][1] == found["layer1.0.conv2"][0]
    assert found["fc"][1] == found["layer3.0.conv2"][0]


def test_the_network_keeps_its_mode() -> None:
    model = network("resnet8")
    model.layer2.eval()
    before = [module.training for module in model.modules()]
    Channels(model)
    assert [module.training for module in model.modules()] == before


class Calling(nn.Module):
    """A convolution, a function of its output, and a linear layer."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], features: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.other = nn.Conv2d(3, 4, 3, padding=1)
        self.single = nn.Conv2d(4, 1, 1)
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))
        self.one = nn.Parameter(torch.ones(()))
        self.register_buffer("mean", torch.ones(3, 1, 1))
        self.fc = nn.Linear(features, 2)
        self.function = function

    def forward(self, images: Tensor, scale: float = 1.0, extra: Tensor | None = None) -> Tensor:
        return self.fc(self.function(self, self.conv(images - self.mean) * scale))


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: x.mean((2, 3)),
        lambda self, x: x.mean([-1, -2], keepdim=True).flatten(1),
        lambda self, x: nn.functional.adaptive_avg_pool2d(x.relu_(), 1).view(x.size(0), -1),
        lambda self, x: nn.functional.adaptive_avg_pool2d(x.clamp(min=0), 1).reshape(x.shape[0], -1),
        lambda self, x: torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1),
        lambda self, x: nn.functional.max_pool2d(x, 8).squeeze(-1).squeeze(-1),
        lambda self, x: (nn.functional.pad(x, (1, 1, 1, 1)) / 2 + x.mean((2, 3), keepdim=True)).mean((2, 3)),
        lambda self, x: (nn.functional.dropout(x, 0.5, self.training) - x.sigmoid() * x).mean((2, 3)),
        lambda self, x: (x * self.one).sum((2, 3)),
        lambda self, x: x.amax((2, 3), keepdim=True)[:, :, 0, 0],
        lambda self, x: (x * x.mean((2, 3))[:, :, None, None]).mean((2, 3)),
        lambda self, x: (x * x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1).expand_as(x)).mean((2, 3)),
        lambda self, x: (x * x.mean((2, 3)).view(x.shape[0], x.shape[1], 1, 1)).mean((2, 3)),
        lambda self, x: nn.functional.adaptive_avg_pool2d(x, 1).reshape(x.size()[0], x.size(1)),
        lambda self, x: nn.functional.adaptive_avg_pool2d(x, 1)[..., 0, 0],
        lambda self, x: nn.functional.adaptive_avg_pool2d(x**2, 1).sqrt().flatten(-3),
        lambda self, x: nn.functional.adaptive_avg_pool2d(x, 1).flatten(1, 3),
    ],
)
def test_usual_functions_are_followed_up_to_the_linear_layer(function: Callable[[nn.Module, Tensor], Tensor]) -> None:
    model = Calling(function)
    model(torch.rand(2, 3, 8, 8))  # it is a network at all
    found = layers(model)
    assert found["fc"][1] == found["conv"][0]


def test_flattened_maps_give_each_channel_its_pixels() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.PReLU(4), nn.Flatten(), nn.BatchNorm1d(256), nn.PReLU(), nn.Linear(256, 2)
    )
    places = {one.path: one for one in Channels(model).layers}
    assert {path: one.each for path, one in places.items()} == {"0": 1, "1": 1, "3": 64, "5": 64}
    group = places["0"].rows
    assert (places["1"].rows, places["3"].rows, places["5"].columns) == (group, group, group)
    sizes = {group: 6, places["0"].columns: 3, places["5"].rows: 2}
    assert {path: one.shape(sizes) for path, one in places.items()} == {
        "0": (6, 3),
        "1": (6, None),
        "3": (384, None),
        "5": (2, 384),
    }


@pytest.mark.parametrize(
    ("function", "features", "message"),
    [
        (lambda self, x: torch.cat((x, x), 1).mean((2, 3)), 8, "its forward: .*followed through 'cat'"),
        (lambda self, x: x.flatten(1)[:, :-1], 255, "followed through 'getitem'"),
        (lambda self, x: nn.functional.pad(x, (1, 1)).flatten(1), 255, "'fc' .*: it takes 255 features, of 4 channels"),
        (lambda self, x: self.fc(x.flatten(1)), 256, "'fc' .*: it gets maps of 64 and of 128 pixels, flattened"),
        (lambda self, x: x.view(x.size(0), 2, 2, 8, 8).mean((3, 4)), 4, "followed through 'view'"),
        (lambda self, x: x.view(x.size(0), x.size(1), -1).mean(-1), 4, "followed through 'view'"),
        (lambda self, x: x.view(x.size(0), x.size(2), -1).mean(-1), 8, "followed through 'view'"),
        (lambda self, x: x.view(x.size(0), 256), 256, r"followed through 'view'; .* flatten\(1\)"),
        (lambda self, x: x.view(-1, 256), 256, r"followed through 'view'; .* flatten\(1\)"),
        (lambda self, x: x[:, 1:].mean((2, 3)), 3, "followed through 'getitem'"),
        (lambda self, x: x.mean((2, 3))[..., :2], 2, "followed through 'getitem'"),
        (lambda self, x: (x ** self.other(x[:, :3])).mean((2, 3)), 4, "followed through 'getitem'"),
        (lambda self, x: x.unsqueeze(1).mean((1, 3, 4)), 4, "followed through 'unsqueeze'"),
        (lambda self, x: x.chunk(2, 1)[0].mean((2, 3)), 2, "followed through 'chunk'"),
        (lambda self, x: (x * self.gamma).mean((2, 3)), 4, "uses the tensor 'gamma' directly"),
        (lambda self, x: (x * self.single(x)).mean((2, 3)), 4, "joins 1 and 4 channels"),
        (lambda self, x: x.mean(), 4, "followed through 'mean'"),
        (lambda self, x: (x if x.sum() > 0 else -x).mean((2, 3)), 4, "its forward: torch.fx cannot trace it"),
        (lambda self, x: nn.functional.pad(x, (0, 0, 0, 0, 1, 1)).mean((2, 3)), 6, "followed through 'pad'"),
        (lambda self, x: nn.functional.softmax(x, 1).mean((2, 3)), 4, "followed through 'softmax'"),
    ],
)
def test_what_cannot_be_followed_is_one_error_with_the_place(
    function: Callable[[nn.Module, Tensor], Tensor], features: int, message: str
) -> None:
    with pytest.raises(MethodError, match=rf"Calling cannot be widened: .*{message}"):
        Channels(Calling(function, features))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(4, 4, 1, groups=2), r"module '1' \(Conv2d\): a convolution in 2 groups"),
        (nn.Conv2d(4, 8, 1, groups=4), r"module '1' \(Conv2d\): a convolution in 4 groups"),
        (nn.ConvTranspose2d(4, 4, 1), r"module '1' \(ConvTranspose2d\): transposed"),
        (nn.GroupNorm(2, 4), r"module '1' \(GroupNorm\): its channels cannot be followed"),
        (nn.ChannelShuffle(2), r"module '1' \(ChannelShuffle\): its channels cannot be followed"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), r"module '1' .*modules of its own"),
        (nn.utils.spectral_norm(nn.Conv2d(4, 4, 1)), r"module '1' .*it has a tensor 'weight_orig'"),
    ],
)
def test_layers_that_cannot_be_followed_are_named(layer: nn.Module, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        Channels(nn.Sequential(nn.Conv2d(3, 4, 1), layer))


@pytest.mark.parametrize(
    ("name", "module"), [("shufflenetv2", "layer1.0"), ("fitnet1", "layer1.maxout"), ("timm/convnext_atto", "stem.1")]
)
def test_networks_that_cannot_be_followed_name_a_module_and_a_remedy(name: str, module: str) -> None:
    with pytest.raises(MethodError, match=rf"module '{module}'.*such as mobilenetv2 or resnet20"):
        Channels(network(name))


def test_one_parameter_in_two_layers_is_refused_and_one_layer_under_two_names_is_not() -> None:
    first, second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    second.weight = first.weight
    tied = nn.Sequential(nn.Conv2d(3, 4, 1), first, second)
    with pytest.raises(MethodError, match=r"module '2' \(Conv2d\): it shares its weight with '1'"):
        Channels(tied)
    Channels(nn.Sequential(nn.Conv2d(3, 4, 1), first, first))
