"""What the width of each group follows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.adapters.widening.kinds import Follows, Plan, plan_of
from limbeck.core.errors import MethodError
from little import conv_net
from little_vision import network
from little_wide import mobile_net


def rows(plan: Plan) -> dict[str, int]:
    """Path -> group of its outputs."""
    return {layer.path: layer.rows for layer in plan.layers}


def follows(plan: Plan, path: str) -> tuple[Follows, int]:
    group = plan.groups[rows(plan)[path]]
    return group.follows, group.size


def test_the_groups_of_inverted_residuals() -> None:
    plan = plan_of(mobile_net())
    found = {path: follows(plan, path) for path in rows(plan) if "bn" not in path and "depthwise" not in path}
    assert found == {
        "stem.conv": (Follows.WIDTH, 4),
        "layer1.0.expand.conv": (Follows.EXPAND, 8),
        "layer1.0.project.conv": (Follows.WIDTH, 6),
        "layer1.1.expand.conv": (Follows.EXPAND, 12),
        "layer1.1.squeeze.reduce": (Follows.REDUCTION, 4),
        "layer1.1.squeeze.excite": (Follows.EXPAND, 12),
        "layer1.1.project.conv": (Follows.WIDTH, 6),
        "last.conv": (Follows.WIDTH, 10),
        "fc": (Follows.FIXED, 3),
    }


def test_widths_as_published() -> None:
    plan = plan_of(mobile_net())
    group = rows(plan)
    stem, inside, whole = (group[path] for path in ("stem.conv", "layer1.0.expand.conv", "layer1.0.project.conv"))
    second, squeezed = group["layer1.1.expand.conv"], group["layer1.1.squeeze.reduce"]
    base = plan.sizes({})
    assert [base[one] for one in (stem, inside, whole, second, squeezed)] == [4, 8, 6, 12, 4]
    found = plan.sizes({stem: 1.8, inside: 1.6, whole: 2.6, second: 2.2})
    assert found[stem] == round(1.8 * 4) == 7
    assert found[inside] == round(1.6 * 8 / 4 * 7) == 22  # the ratio of the block times what comes in
    assert found[whole] == round(2.6 * 6) == 16
    assert found[second] == round(2.2 * 12 / 6 * 16) == 70
    assert found[squeezed] == round(4 / 12 * 70) == 23


def test_a_stem_with_a_depthwise_convolution_counts_as_width() -> None:
    plan = plan_of(network("mobilenetv2_tiny"))
    assert follows(plan, "stem.conv") == (Follows.WIDTH, 16)
    assert follows(plan, "layer1.0.project.conv") == (Follows.WIDTH, 8)
    assert follows(plan, "last.conv") == (Follows.WIDTH, 448)
    assert len(plan.numbers(Follows.EXPAND)) == 16  # every inverted residual has one
    assert len(plan.numbers(Follows.WIDTH)) == 1 + 7 + 1


def test_residual_blocks() -> None:
    plan = plan_of(network("resnet8"))
    group = rows(plan)
    for stage in (1, 2, 3):
        inside = plan.groups[group[f"layer{stage}.0.conv1"]]
        before = group["stem.conv" if stage == 1 else f"layer{stage - 1}.0.conv2"]
        assert (inside.follows, inside.reference) == (Follows.EXPAND, before)
        assert plan.groups[group[f"layer{stage}.0.conv2"]].follows is Follows.WIDTH


def test_both_inner_groups_of_a_bottleneck_follow_the_input_of_the_block() -> None:
    pytest.importorskip("timm")
    plan = plan_of(network("timm/resnet26"))
    group = rows(plan)
    for block, before in (("layer1.0", "conv1"), ("layer1.1", "layer1.0.conv3"), ("layer2.0", "layer1.1.conv3")):
        for conv in ("conv1", "conv2"):
            inside = plan.groups[group[f"{block}.{conv}"]]
            assert (inside.follows, inside.reference) == (Follows.EXPAND, group[before])


@pytest.mark.parametrize("name", ["timm/mobilenetv3_small_100", "torchvision/mobilenet_v3_small", "mobilenetv3_w035"])
def test_mobilenet_v3_of_three_libraries(name: str) -> None:
    plan = plan_of(network(name))
    blocks = {"mobilenetv3_w035": (14, 8)}.get(name, (10, 9))
    assert (len(plan.numbers(Follows.EXPAND)), len(plan.numbers(Follows.REDUCTION))) == blocks
    expands = plan.numbers(Follows.EXPAND)
    assert all(plan.groups[number].reference not in expands for number in expands)


def test_plain_chains_have_widths_only() -> None:
    plan = plan_of(conv_net(4))
    assert [group.follows for group in plan.groups.values()] == [
        Follows.FIXED,
        Follows.WIDTH,
        Follows.WIDTH,
        Follows.FIXED,
    ]


def test_expansion_does_not_compound_along_depthwise_separable_convolutions() -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 3)]
    for _ in range(4):
        layers += [nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1)]
    plan = plan_of(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    most = plan.sizes(dict.fromkeys(plan.groups, 3.0))
    assert max(most.values()) == 4 * 3


def test_what_comes_before_a_depthwise_convolution_is_inside_only_if_it_is_projected_to_less() -> None:
    """As in MobileNetV4, where a block begins with a depthwise convolution on the output of the one before."""
    layers = [
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 12, 1),  # the output of a block
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        nn.Conv2d(12, 36, 1),  # expanded
        nn.Conv2d(36, 36, 3, padding=1, groups=36),
        nn.Conv2d(36, 16, 1),  # projected
    ]
    plan = plan_of(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)))
    assert {group.size: group.follows for group in plan.groups.values() if group.follows is not Follows.FIXED} == {
        8: Follows.WIDTH,
        12: Follows.WIDTH,
        36: Follows.EXPAND,
        16: Follows.WIDTH,
    }


def test_a_network_without_channels_in_between_is_refused() -> None:
    with pytest.raises(MethodError, match="no channels between images and logits"):
        plan_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with pytest.raises(MethodError, match="no channels between images and logits"):
        plan_of(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3)))
    assert torch.is_grad_enabled()


class Gated(nn.Module):
    """Squeeze-and-excite of linear layers, in the form in which it is usually written."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze = nn.Linear(8, 2)
        self.excite = nn.Linear(2, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        b, c, _, _ = x.size()
        y = nn.functional.adaptive_avg_pool2d(x, 1).view(b, c)
        y = self.excite(self.squeeze(y).relu()).sigmoid().view(b, c, 1, 1)
        return self.fc((x * y.expand_as(x)).mean((2, 3)))


def test_squeeze_and_excite_of_linear_layers() -> None:
    found = plan_of(Gated())
    rows = {layer.path: found.groups[layer.rows] for layer in found.layers}
    assert rows["squeeze"].follows is Follows.REDUCTION
    assert rows["excite"] is rows["stem"]
    assert rows["stem"].follows is Follows.WIDTH
