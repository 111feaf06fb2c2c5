"""Stages of networks are found by one pass that leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.ensemble import Ensemble
from limbeck.adapters.maxout import Maxout
from limbeck.adapters.specialists import Specialists
from limbeck.core.bridge import Bridge
from limbeck.core.net import Kind, Net, digest
from limbeck.core.outline import Outline, channels_last, grid_of, outline
from limbeck.models.build import build
from little import conv_net, image_batch
from little_vision import colour_batch, network, vit

RESNET = [("layer1", 16, 32), ("layer2", 32, 16), ("layer3", 64, 8)]


def outlined(model: nn.Module, *, side: int = 32) -> Outline:
    return outline(model, lambda net: net(colour_batch(2, side=side)[0]))


def little(*layers: nn.Module) -> Outline:
    """Of a sequence of layers on images of 1×8×8."""
    return outline(nn.Sequential(*layers), lambda net: net(image_batch(2)[0]))


def paths(units: list[Any]) -> list[str]:
    return [unit.path for unit in units]


@pytest.mark.parametrize(
    ("name", "side", "stages"),
    [
        ("resnet20", 32, RESNET),
        ("resnet56", 32, RESNET),
        ("wrn_16_2", 32, [("layer1", 32, 32), ("layer2", 64, 16), ("relu", 128, 8)]),
        ("vgg8", 32, [("layer1", 64, 32), ("layer2", 128, 16), ("layer3", 256, 8), ("layer5", 512, 4)]),
        ("mobilenetv2", 32, [("layer2", 12, 16), ("layer3", 16, 8), ("layer5", 48, 4), ("last", 1280, 2)]),
        (
            "timm/resnet18",
            64,
            [("layer1", 64, 16), ("layer2", 128, 8), ("layer3", 256, 4), ("layer4", 512, 2)],
        ),
    ],
)
def test_a_stage_ends_at_the_last_module_of_its_map_size(
    name: str, side: int, stages: list[tuple[str, int, int]]
) -> None:
    found = outlined(network(name, side=side), side=side).stages
    assert [(unit.path, unit.channels, unit.size) for unit in found] == [(p, c, (s, s)) for p, c, s in stages]


def test_the_blocks_of_a_transformer_are_units_and_its_tokens_a_grid() -> None:
    found = outlined(vit())
    blocks = [unit for unit in found.units if unit.kind == "Block"]
    assert paths(blocks) == ["blocks.0", "blocks.1", "blocks.2"]
    assert {(unit.shape, unit.size, unit.channels) for unit in blocks} == {((2, 65, 24), (8, 8), 24)}
    assert len(found.stages) == 1


def test_a_network_without_maps_and_tokens_has_no_units() -> None:
    found = outlined(network("mlp", hidden=[8]))
    assert (found.units, found.stages) == ([], [])


def test_a_container_is_looked_through_if_it_makes_maps_more_than_twice_smaller() -> None:
    def halving() -> list[nn.Module]:
        return [nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2)]

    # Four times smaller: two stages in one container. Twice smaller: one stage, as a residual one is.
    assert paths(little(nn.Sequential(*halving(), *halving())).stages) == ["0.0", "0.2", "0.3"]
    assert paths(little(nn.Sequential(*halving()), nn.Sequential(*halving())).stages) == ["0", "1"]


def test_a_module_that_gives_no_single_tensor_is_looked_through() -> None:
    class Record(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 2, 3, stride=2, padding=1)
            self.second = nn.Conv2d(2, 3, 3, stride=2, padding=1)

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"last": self.second(self.first(images))}

    assert paths(little(Record()).stages) == ["0.first", "0.second"]


def test_maps_that_grow_again_and_the_pooled_vector_are_no_stages() -> None:
    down, up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
    found = little(nn.Conv2d(1, 2, 1), down, up, nn.Conv2d(2, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert paths(found.stages) == ["0", "1"]


def test_modules_that_never_run_are_not_there() -> None:
    model = conv_net()
    model[2].idle = nn.Conv2d(1, 1, 1)
    found = outline(model, lambda net: net(image_batch(2)[0]))
    assert "2.idle" not in {unit.path for unit in [*found.units, *found.inside["2"]]}


@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_the_first_layer_of_a_residual_stage_is_its_first_activation(name: str) -> None:
    found = outlined(network(name))
    assert [found.first_layer(stage).path for stage in found.stages] == [f"layer{n}.0.relu1" for n in (1, 2, 3)]


def test_the_first_layer_of_a_single_module_is_looked_for_before_it() -> None:
    conv = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(4)]
    found = little(conv[0], nn.ReLU(), conv[1], nn.MaxPool2d(2), conv[2], nn.MaxPool2d(2))
    assert paths(found.stages) == ["2", "4", "5"]
    first = [found.first_layer(stage) for stage in found.stages]
    assert [None if unit is None else unit.path for unit in first] == ["1", "3", None]


def test_the_first_layer_is_never_the_last_one_under_another_name() -> None:
    # A stage of VGG-8 is convolution, BatchNorm, ReLU: its ReLU gives what the stage gives.
    found = outlined(network("vgg8"))
    assert [found.first_layer(stage).path for stage in found.stages] == [
        "layer1.conv1", "layer2.conv1", "layer3.conv1", "layer4.relu1",
    ]  # fmt: skip
    ends_active = little(nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 2, stride=2)), nn.ReLU()))
    assert ends_active.first_layer(ends_active.stages[0]).path == "0.0"
    bare = little(nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 2, stride=2))))
    assert bare.first_layer(bare.stages[0]) is None


@pytest.mark.parametrize(
    ("module", "activates"),
    [
        (nn.ReLU(), True),
        (nn.GELU(), True),
        (Maxout(2), True),
        (nn.Identity(), False),
        (nn.Conv2d(2, 2, 1), False),
        (nn.BatchNorm2d(2), False),
    ],
)
def test_activations_are_known(module: nn.Module, activates: bool) -> None:
    found = little(nn.Conv2d(1, 2, 1), module)
    assert [unit.activates for unit in found.units] == [False, activates]


def test_paths_are_those_of_the_network_inside_a_bridge() -> None:
    bridge = Bridge(conv_net(), mean=[0.5], std=[0.5])
    found = outline(bridge, lambda net: net(image_batch(2)[0]))
    assert paths(found.stages) == ["2", "5"]


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails: bool) -> None:
    model = conv_net(dropout=0.5).train()
    model[4].eval()
    modes, before = [module.training for module in model.modules()], digest(model)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    def run(net: nn.Module) -> None:
        assert not any(module.training for module in net.modules())
        assert hooks(net) > 0
        net(image_batch(2)[0])
        if fails:
            raise RuntimeError("in the middle")

    if fails:
        with pytest.raises(RuntimeError, match="in the middle"):
            outline(model, run)
    else:
        outline(model, run)
    assert hooks(model) == 0
    assert [module.training for module in model.modules()] == modes
    assert digest(model) == before
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("tokens", "grid"),
    [(196, (14, 14)), (197, (14, 14)), (198, (14, 14)), (199, None), (1, (1, 1)), (7, None), (0, None)],
)
def test_tokens_form_a_square_after_at_most_two_class_tokens(tokens: int, grid: tuple[int, int] | None) -> None:
    assert grid_of(tokens) == grid


def test_a_module_that_runs_twice_does_not_lend_its_number_to_the_next() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = (nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.three(self.relu(self.two(self.relu(self.one(x)))))

    found = outline(Twice(), lambda model: model(torch.rand(1, 1, 4, 4)))
    numbers = {unit.path: unit.tensor for unit in found.units}
    assert numbers["relu"] != numbers["three"]
    assert found.first_layer(found.stages[-1]).path == "relu"


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18"])
def test_what_is_changed_in_place_afterwards_is_left_out(name: str) -> None:
    """The ReLU after the first BatchNorm works in place, and every block adds to its last BatchNorm's output."""
    model = build(name, {}, classes=10, channels=3, height=64, width=64)
    found = outline(model, lambda net: net(torch.rand(2, 3, 64, 64)))
    paths = [unit.path for unit in found.units] + [unit.path for inside in found.inside.values() for unit in inside]
    assert "bn1" not in paths
    assert not [path for path in paths if path.endswith("bn2")]
    assert [unit.path for unit in found.stages] == ["layer1", "layer2", "layer3", "layer4"]
    Net(model, lambda net, images: net(images), taps=paths, kind=Kind.FROZEN).probe(torch.rand(2, 3, 64, 64))


def test_the_first_layer_can_be_tapped() -> None:
    model = build("torchvision/vgg11", {}, classes=10, channels=3, height=64, width=64)
    found = outline(model, lambda net: net(torch.rand(2, 3, 64, 64)))
    firsts = [found.first_layer(stage) for stage in found.stages]
    taps = [unit.path for unit in firsts if unit is not None]
    assert len(taps) >= 4
    Net(model, lambda net, images: net(images), taps=taps, kind=Kind.FROZEN).probe(torch.rand(2, 3, 64, 64))


def test_features_of_a_square_image_with_channels_last_are_no_maps() -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 2, 3, 1)

    model = nn.Sequential(nn.Conv2d(3, 12, 1), Last(), nn.LayerNorm(12))
    square = outline(model, lambda net: net(torch.rand(2, 3, 8, 8)))
    assert [unit.path for unit in square.units] == ["0"]
    assert channels_last((2, 8, 8, 12), (8, 8))
    assert not channels_last((2, 8, 8, 12))  # of an image that is not known it could be a map of 8 channels
    assert channels_last((2, 8, 8, 32))
    assert not channels_last((2, 8, 8, 8), (8, 8))


def test_features_without_a_row_per_sample_are_left_out() -> None:
    """Windows of attention, cut out of the images of a batch and laid one after the other."""

    class Windows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1)

    class Back(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(0, (-1, 2)).transpose(1, 2).flatten(2, 3)

    model = nn.Sequential(nn.Conv2d(3, 6, 1), Windows(), nn.Conv2d(6, 6, 1), Back(), nn.ReLU())
    found = outline(model, lambda net: net(torch.rand(4, 3, 8, 8)))
    assert [unit.path for unit in found.units] == ["0", "3", "4"]


def test_blocks_are_found_inside_of_an_encoder_that_is_no_sequence() -> None:
    vision = pytest.importorskip("torchvision").models.VisionTransformer(
        32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3
    )
    blocks = [unit.path for unit in outlined(vision).units if unit.kind == "EncoderBlock"]
    assert blocks == [f"encoder.layers.encoder_layer_{number}" for number in range(3)]


def test_register_tokens_stand_before_the_grid() -> None:
    arguments = {"patch_size": 4, "depth": 2, "embed_dim": 16, "num_heads": 2, "reg_tokens": 4}
    found = outlined(network("timm/vit_tiny_patch16_224", **arguments))
    assert [(unit.path, unit.size) for unit in found.units if unit.kind == "Block"] == [
        ("blocks.0", (8, 8)),
        ("blocks.1", (8, 8)),
    ]


@pytest.mark.parametrize(
    ("tokens", "image", "grid"),
    [
        (25, None, (5, 5)),
        (25, (32, 32), None),  # 5 × 5 of an image that cannot be cut so, or 4 × 4 after 9
        (25, (35, 35), (5, 5)),
        (9, (28, 28), None),  # 3 × 3, or 2 × 2 after 5
        (64, (16, 64), None),
        (12, None, None),
    ],
)
def test_a_grid_is_absent_where_it_would_be_a_guess(
    tokens: int, image: tuple[int, int] | None, grid: tuple[int, int] | None
) -> None:
    assert grid_of(tokens, image) == grid


@pytest.mark.parametrize(
    ("shape", "image", "last"),
    [
        ((2, 56, 56, 96), (224, 224), True),  # the first stage of a Swin transformer, 96 channels
        ((2, 16, 16, 64), (16, 64), False),  # a map of 16 channels
        ((2, 4, 16, 16), (16, 64), True),
        ((2, 16, 3, 11), (16, 64), False),  # a map whose sides were rounded
        ((2, 7, 7, 7), (224, 224), False),
    ],
)
def test_where_the_channels_are_is_told_by_the_image(
    shape: tuple[int, ...], image: tuple[int, int], last: bool
) -> None:
    assert channels_last(shape, image) == last


def test_nothing_inside_of_a_module_with_channels_last_is_a_unit() -> None:
    """There only branches have other forms, and the sum with their residual cannot be tapped."""
    arguments = {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "patch_size": 2}
    swin = network("timm/swin_tiny_patch4_window7_224", **arguments)
    assert not [unit for unit in outlined(swin).units if unit.path.startswith("layers")]


def test_most_layers_without_features_make_an_outline_partial() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    found = little(nn.Conv2d(1, 5, 1), Last(), nn.Linear(5, 5), nn.Linear(5, 5))
    assert (found.covered, found.layered, found.is_partial) == (1, 3, True)
    whole = little(nn.Conv2d(1, 5, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(320, 5), nn.Linear(5, 5))
    assert (whole.covered, whole.layered, whole.is_partial) == (1, 1, False)


@pytest.mark.parametrize("several", [Ensemble, lambda nets: Specialists(nets[0], nets[1:], subsets=[[0, 1]])])
def test_of_several_networks_one_stands_for_all(several: Any) -> None:
    found = outline(several([conv_net(4), conv_net(6)]), lambda net: net(image_batch(2)[0]))
    first = {unit.path.rpartition(".")[0] for unit in found.units}
    assert len(first) == 1
    assert first <= {"members.0", "generalist"}


def test_of_a_module_that_runs_several_times_the_last_run_counts() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout()
            self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, stride=2, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.two(self.drop(self.one(x))))

    found = outline(Dropping(), lambda model: model(image_batch(2)[0]))
    assert [(unit.path, unit.size) for unit in found.units] == [("one", (8, 8)), ("two", (4, 4)), ("drop", (4, 4))]
