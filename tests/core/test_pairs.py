"""Pairs of layers are named or found, and their order is checked."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.adapters.ensemble import Ensemble
from limbeck.core.bridge import Bridge
from limbeck.core.errors import MethodError
from limbeck.core.pairs import Pair, Paired, check_deepest, ends_of_stages, known, middle, proposed
from limbeck.models.build import build
from little import conv_net, image_batch
from little_vision import colour_batch, network, vit


def found(student: nn.Module, teacher: nn.Module) -> list[tuple[str, str]]:
    models = {"student": student, "teacher": teacher}
    pairs = proposed(models, lambda net: net(colour_batch(2)[0]))
    return [(pair.student, pair.teacher) for pair in pairs]


def strided(*strides: int) -> nn.Sequential:
    """One convolution per stride: modules 0, 1, …"""
    return nn.Sequential(*(nn.Conv2d(3 if not n else 2, 2, stride, stride=stride) for n, stride in enumerate(strides)))


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        ("resnet20", "resnet56", [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]),
        ("wrn_16_2", "resnet20", [("layer1", "layer1"), ("layer2", "layer2"), ("relu", "layer3")]),
        ("resnet20", "vgg8", [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]),
        ("vgg8", "resnet20", [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]),
        # MobileNetV2 halves the image at once: its first stage has the stride of the others' second.
        ("mobilenetv2", "resnet20", [("layer2", "layer2"), ("layer3", "layer3")]),
        ("vgg8", "mobilenetv2", [("layer2", "layer2"), ("layer3", "layer3"), ("layer5", "layer5")]),
    ],
)
def test_stages_of_equal_stride_belong_together(student: str, teacher: str, pairs: list[tuple[str, str]]) -> None:
    assert found(network(student), network(teacher)) == pairs


def test_a_stage_that_only_one_network_has_is_left_out() -> None:
    # Strides 1, 2, 4, 8 of the student, and 1, 4, 8 of the teacher.
    assert found(strided(1, 2, 2, 2), strided(1, 4, 2)) == [("0", "0"), ("2", "1"), ("3", "2")]


def test_with_fewer_than_two_equal_strides_the_deepest_stages_belong_together() -> None:
    # Strides 1, 4, 16 and 1, 2: only the first is equal.
    assert found(strided(1, 4, 4), strided(1, 2)) == [("1", "0"), ("2", "1")]
    assert found(strided(1, 2), strided(1, 4, 4)) == [("0", "1"), ("1", "2")]


def test_strides_need_not_be_equal_to_the_pixel() -> None:
    """Layers without padding: maps of 32, 15 and 7 places against 32, 16 and 8."""
    unpadded = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 3, stride=2), nn.Conv2d(2, 2, 3, stride=2))
    assert found(strided(1, 2, 2), unpadded) == [("0", "0"), ("1", "1"), ("2", "2")]
    # 32, 31 and 15 against 32 and 16: no layer is taken twice, and the nearest one is taken
    twice = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 2), nn.Conv2d(2, 2, 3, stride=2))
    assert found(twice, strided(1, 2)) == [("0", "0"), ("2", "1")]


def test_the_middle_pair_of_the_networks_of_fitnets_is_the_paper_s() -> None:
    """Layer 4 of the student and layer 2 of the teacher, before their pooling."""
    names = {"student": "fitnet_mnist", "teacher": "maxout_mnist"}
    models = {role: build(name, {}, classes=10, channels=1, height=28, width=28) for role, name in names.items()}
    pairs = proposed(models, lambda net: net(torch.rand(2, 1, 28, 28)))
    assert middle(pairs) == Pair(student="layer4.maxout", teacher="layer2.maxout")


def test_a_transformer_is_cut_into_as_many_parts_as_the_other_network_has_stages() -> None:
    transformer, thirds = vit(depth=12), ["blocks.3", "blocks.7", "blocks.11"]
    stages = ["layer1", "layer2", "layer3"]
    assert found(network("resnet20"), transformer) == list(zip(stages, thirds, strict=True))
    assert found(transformer, network("resnet20")) == list(zip(thirds, stages, strict=True))
    quarters = ["blocks.2", "blocks.5", "blocks.8", "blocks.11"]
    assert [teacher for _, teacher in found(network("vgg8"), transformer)] == quarters


def test_two_transformers_are_cut_at_equal_depths() -> None:
    pairs = [("blocks.0", "blocks.3"), ("blocks.1", "blocks.7"), ("blocks.2", "blocks.11")]
    assert found(vit(depth=3), vit(depth=12, width=32)) == pairs
    assert [student for student, _ in found(vit(depth=6), vit(depth=3))] == ["blocks.1", "blocks.3", "blocks.5"]


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_network_without_features_is_named(role: str) -> None:
    models = {"student": network("resnet20"), "teacher": network("resnet20")} | {role: network("mlp", hidden=[8])}
    with pytest.raises(
        MethodError, match=rf"neither a feature map.* nor tokens.* in the {role} \(Mlp\); name the taps"
    ):
        found(**models)


def test_taps_that_are_not_decided_say_where_they_will_be() -> None:
    with pytest.raises(MethodError, match="auto is decided when a Distiller is made of the method; ask the `method`"):
        known("auto")
    pairs = (Pair(student="a", teacher="b"),)
    assert known(pairs) is pairs


def test_a_paired_method_decides_only_what_is_open() -> None:
    models = {"student": conv_net(), "teacher": conv_net(6)}
    named = Paired(taps=(Pair(student="5", teacher="2"),))

    def run(net: nn.Module) -> None:
        net(image_batch(2)[0])

    assert named.settled(models, run) is named
    open_one = Paired()
    assert open_one.settled(models, run).pairs == (Pair(student="2", teacher="2"), Pair(student="5", teacher="5"))
    assert open_one.taps == "auto"
    for ask in (lambda: open_one.pairs, open_one.tapped):
        with pytest.raises(MethodError, match="auto is decided when"):
            ask()


def test_a_layer_in_two_pairs_is_tapped_once() -> None:
    method = Paired(
        taps=(Pair(student="2", teacher="5"), Pair(student="2", teacher="8"), Pair(student="5", teacher="8"))
    )
    assert method.tapped() == {"student": ("2", "5"), "teacher": ("5", "8")}


@pytest.mark.parametrize("wrong", [(), "all", ({"student": "a"},), ({"student": "a", "teacher": "b", "tutor": "c"},)])
def test_other_forms_of_taps_are_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Paired(taps=wrong)


def test_the_last_tap_is_the_one_that_is_reached_last() -> None:
    order = ["a", "b", "c", "d"]
    check_deepest("c", ["a", "c"], order)
    check_deepest("c", ["c", "b"], order)
    message = "from shallow to deep, but 'b', the last one, comes before 'c'"
    with pytest.raises(MethodError, match=message):
        check_deepest("b", ["a", "c", "b"], order)


@pytest.mark.parametrize("depth", [1, 2])
def test_short_transformers_are_cut_at_their_blocks(depth: int) -> None:
    assert all(teacher.startswith("blocks.") for _, teacher in found(network("resnet8"), vit(depth=depth)))


def test_the_ends_of_a_networks_own_stages() -> None:
    def ends(model: nn.Module) -> list[str]:
        return ends_of_stages(model, lambda one: one(colour_batch(2)[0]))

    assert ends(network("resnet8")) == ["layer1", "layer2", "layer3"]
    assert ends(vit(depth=6)) == ["blocks.1", "blocks.3", "blocks.5"]
    with pytest.raises(MethodError, match=r"neither a feature map .* in Sequential; name the modules"):
        ends(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    with pytest.raises(MethodError, match="one stage only in VisionTransformer"):
        ends(vit(depth=1))


def test_a_network_behind_its_preprocessing_is_called_by_its_own_name() -> None:
    flat = Bridge(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    with pytest.raises(MethodError, match=r"in the student \(Sequential\); name the taps"):
        found(flat, network("resnet8"))
    with pytest.raises(MethodError, match="in Sequential; name the modules"):
        ends_of_stages(flat, lambda one: one(colour_batch(2)[0]))


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("torchvision/resnet18", ["layer1", "layer2", "layer3", "layer4"]),
        ("torchvision/shufflenet_v2_x0_5", ["stage2", "stage3", "conv5"]),
        ("resnet20", ["layer1", "layer2", "layer3"]),
    ],
)
def test_neither_a_stem_nor_a_pooling_is_a_stage_with_an_end_of_its_own(name: str, ends: list[str]) -> None:
    model = build(name, {}, classes=10, channels=3, height=64, width=64)
    assert ends_of_stages(model, lambda net: net(torch.rand(2, 3, 64, 64))) == ends


@pytest.mark.parametrize(
    ("name", "side", "pairs"),
    [
        ("timm/resnet18", 32, ["layer1", "layer2", "layer3"]),  # strides 4, 8, 16; the stem has 2 and is none
        ("timm/efficientnet_b0", 64, ["blocks.2", "blocks.4", "bn2"]),  # 2, 4, 8, 16, 32: two of five agree
    ],
)
def test_the_end_of_a_network_for_small_images_belongs_to_the_end_of_one_for_large_ones(
    name: str, side: int, pairs: list[str]
) -> None:
    models = {"student": network("resnet20"), "teacher": network(name, side=side)}
    sides = {id(models["student"]): 32, id(models["teacher"]): side}
    found = proposed(models, lambda net: net(colour_batch(2, side=sides[id(net)])[0]))
    assert [pair.student for pair in found] == ["layer1", "layer2", "layer3"]
    assert [pair.teacher for pair in found] == pairs


def test_a_network_whose_blocks_have_channels_last_is_refused() -> None:
    arguments = {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "patch_size": 2}
    swin = network("timm/swin_tiny_patch4_window7_224", **arguments)
    with pytest.raises(MethodError, match=r"taps: auto finds .* in the student \(SwinTransformer\); name the taps"):
        found(swin, network("resnet8"))


def test_a_network_that_is_mostly_of_another_form_is_refused() -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 2, 3, 1)

    other = nn.Sequential(nn.Conv2d(3, 5, 1), Last(), nn.Linear(5, 5), nn.Linear(5, 5))
    with pytest.raises(MethodError, match=r"after 1 of 3 layers only, and features of another form"):
        found(other, network("resnet8"))


@pytest.mark.parametrize("depth", [1, 2])
def test_no_block_of_a_short_transformer_is_in_two_pairs(depth: int) -> None:
    pairs = found(vit(depth=depth), network("resnet8"))
    assert [student for student, _ in pairs] == [f"blocks.{number}" for number in range(depth)]
    assert [teacher for _, teacher in pairs] == ["layer1", "layer2", "layer3"][-depth:]


def test_the_layers_of_an_ensemble_are_of_one_member() -> None:
    teacher = Ensemble([network("resnet8"), network("resnet8")])
    assert [tap for _, tap in found(network("resnet14"), teacher)] == [f"members.0.layer{n}" for n in (1, 2, 3)]
