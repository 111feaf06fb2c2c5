from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.models.build import build
from limbeck.models.drop_block import NOTHING, DropBlock, drop_block, last_two


def kept(*shape: int, share: float, side: int) -> Tensor:
    """1 where a feature is kept."""
    return (drop_block(torch.ones(shape), share=share, side=side, training=True) > 0).float()


def expected_rate(height: int, width: int, *, share: float, side: int) -> Tensor:
    """How often each place is kept: each square that covers it has its own chance, Eq. 1."""
    rows, columns = height - side + 1, width - side + 1
    rate = share / side**2 * height * width / (rows * columns)
    covering = torch.zeros(height, width)
    for row in range(rows):
        for column in range(columns):
            covering[row : row + side, column : column + side] += 1
    return (1 - rate) ** covering


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 5), (16, 16, 5), (8, 8, 4), (6, 9, 3), (8, 8, 1)])
def test_every_place_is_kept_as_often_as_the_squares_over_it_allow(height: int, width: int, side: int) -> None:
    found = kept(400, 50, height, width, share=0.2, side=side).mean((0, 1))
    expected = expected_rate(height, width, share=0.2, side=side)
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((found - expected).abs() < 5 * error).all()
    assert 0.8 <= expected.mean() < 0.85  # squares overlap, so less than the share is dropped


def test_single_features_are_dropout() -> None:
    assert torch.allclose(expected_rate(8, 8, share=0.2, side=1), torch.tensor(0.8))


@pytest.mark.parametrize("side", [2, 3, 5])
def test_what_is_dropped_are_whole_squares_within_the_map(side: int) -> None:
    """The squares that fit into what is dropped cover all of it."""
    dropped = 1 - kept(50, 10, 8, 10, share=0.15, side=side)
    fits = -F.max_pool2d(-dropped, side, stride=1)
    covered = F.max_pool2d(F.pad(fits, [side - 1] * 4), side, stride=1)
    assert torch.equal(covered, dropped)
    assert 0 < dropped.mean() < 0.3


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7])
def test_the_mask_is_that_of_a_maximum_over_squares(side: int) -> None:
    """The same draws under the definition in one line."""
    shape, share = (6, 5, 8, 9), 0.3
    torch.manual_seed(3)
    found = kept(*shape, share=share, side=side)
    torch.manual_seed(3)
    rate = share / side**2 * 72 / ((9 - side) * (10 - side))
    corners = torch.rand(6, 5, 9 - side, 10 - side) < rate
    assert torch.equal(1 - found, F.max_pool2d(F.pad(corners.float(), [side - 1] * 4), side, stride=1))


def test_maps_and_images_are_dropped_apart() -> None:
    masks = kept(20, 20, 8, 8, share=0.3, side=3).flatten(2)
    assert (masks[0] != masks[1]).any()
    assert (masks[:, 0] != masks[:, 1]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mean_stays(dtype: torch.dtype) -> None:
    found = drop_block(torch.ones(64, 32, 8, 8, dtype=dtype), share=0.3, side=5, training=True)
    assert found.dtype == dtype
    precision = 1e-5 if dtype == torch.float32 else 2**-8
    assert found.double().mean().item() == pytest.approx(1, abs=precision)
    assert found.unique().numel() == 2


def test_where_a_square_is_as_large_as_the_map_whole_maps_go() -> None:
    masks = kept(200, 50, 4, 2, share=0.25, side=7).flatten(2)
    # the side becomes 2: three squares in four rows
    assert torch.equal(masks[..., 0], masks[..., 1])
    whole = kept(200, 50, 3, 3, share=0.25, side=7).flatten(2)
    assert torch.equal(whole, whole[..., :1].expand_as(whole))
    assert whole.mean().item() == pytest.approx(0.75, abs=0.02)


def test_gradients_are_those_of_the_kept_features() -> None:
    x = torch.randn(4, 8, 8, 8, requires_grad=True)
    y = drop_block(x, share=0.3, side=3, training=True)
    y.sum().backward()
    assert torch.equal(x.grad > 0, y != 0)
    torch.testing.assert_close(y, x.detach() * x.grad)


def test_nothing_happens_in_evaluation_or_without_a_share() -> None:
    x, before = torch.randn(2, 3, 8, 8), torch.get_rng_state()
    assert drop_block(x, share=0.5, side=3, training=False) is x
    assert NOTHING(x, training=True) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_left_is_still_finite() -> None:
    assert not drop_block(torch.randn(1, 1, 8, 8), share=0.999, side=8, training=True).isnan().any()


def test_a_quarter_of_the_share_before_the_last_resolution() -> None:
    assert last_two(0.2, 3) == (DropBlock(0.05, 3), DropBlock(0.2, 3))


# The networks that have it.

NETWORKS = ("resnet20", "wrn_16_1", "mobilenetv2", "mobilenetv2_tiny", "mcunet", "mobilenetv3_w035")
STAGES = {
    "resnet20": ("layer1", "layer2", "layer3"),
    "wrn_16_1": ("layer1", "layer2", "layer3"),
    "mobilenetv2": ("layer3", "layer4", "layer6"),
    "mobilenetv2_tiny": ("layer3", "layer4", "layer6"),
    "mcunet": ("layer3", "layer4", "layer6"),
    "mobilenetv3_w035": ("layer3", "layer4", "layer6"),
}
"""The last one without squares, the first with some, the first with all."""


def made(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(1)
    return build(name, arguments, classes=10, channels=3, height=32, width=32)


def outputs(network: nn.Module, images: Tensor, *paths: str) -> list[Tensor]:
    found: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(path).register_forward_hook(
            lambda _m, _i, output, path=path: found.update({path: output})
        )
        for path in paths
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return [found[path] for path in paths]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_keep_their_modules_weights_and_answers(name: str) -> None:
    plain, dropping = made(name), made(name, dropout=0.3, drop_block=0.2)
    assert (name == "wrn_16_1") or [p for p, _ in plain.named_modules()] == [p for p, _ in dropping.named_modules()]
    weights = dropping.state_dict()
    assert list(weights) == list(plain.state_dict())
    assert all(torch.equal(weights[key], tensor) for key, tensor in plain.state_dict().items())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(plain.eval()(images), dropping.eval()(images))


@pytest.mark.parametrize("name", NETWORKS)
def test_squares_are_dropped_in_the_last_two_resolutions(name: str) -> None:
    images = torch.rand(4, 3, 32, 32)
    plain, dropping = (outputs(made(name, **more), images, *STAGES[name]) for more in ({}, {"drop_block": 0.2}))
    assert [torch.equal(*pair) for pair in zip(plain, dropping, strict=True)] == [True, False, False]


@pytest.mark.parametrize("name", NETWORKS)
def test_two_passes_drop_differently_and_can_be_repeated(name: str) -> None:
    network, images = made(name, drop_block=0.2, block_side=3), torch.rand(2, 3, 32, 32)
    torch.manual_seed(5)
    first, second = network(images), network(images)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(network(images), first)


@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2"])
def test_dropout_comes_before_the_classifier(name: str) -> None:
    network, images = made(name, dropout=0.4), torch.rand(64, 3, 32, 32)
    seen: dict[str, Tensor] = {}
    network.get_submodule("pool").register_forward_hook(lambda _m, _i, output: seen.update(pool=output))
    network.get_submodule("fc").register_forward_pre_hook(lambda _m, inputs: seen.update(fc=inputs[0]))
    network(images)
    alive = seen["pool"] > 0
    dropped = (seen["fc"] == 0) & alive
    assert (dropped.sum() / alive.sum()).item() == pytest.approx(0.4, abs=0.05)
    torch.testing.assert_close(seen["fc"][~dropped], seen["pool"][~dropped] / 0.6)
    network.eval()(images)
    assert torch.equal(seen["fc"], seen["pool"])
