"""Heads have the form of the deepest features, whatever they stand on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.adapters.exit_head import ExitHead, heads_for, pooled
from limbeck.adapters.maps import as_map, map_size
from limbeck.core.errors import MethodError
from limbeck.core.method import Shape


@pytest.mark.parametrize(
    ("features", "deepest", "kernel", "stride"),
    [
        ((16, 32, 32), (64, 8, 8), (4, 4), (4, 4)),
        ((64, 7, 14), (512, 7, 7), (1, 2), (1, 2)),
        ((8, 11, 11), (32, 4, 4), (5, 5), (2, 2)),
        ((65, 24), (65, 24), (1, 1), (1, 1)),
        ((5,), (7,), (1, 1), (1, 1)),
    ],
)
def test_the_bottleneck_ends_in_the_size_and_width_of_the_deepest_map(features, deepest, kernel, stride) -> None:
    head = ExitHead(features, deepest, classes=3).eval()
    assert (head.bottleneck[3].kernel_size, head.bottleneck[3].stride) == (kernel, stride)
    batch = torch.rand(2, *features)
    inside = head.bottleneck(as_map(batch))
    width = deepest[-1] if len(deepest) == 2 else deepest[0]
    assert inside.shape == (2, width, *map_size((1, *deepest)))
    feature, logits = head(batch)
    torch.testing.assert_close(feature, inside.mean((2, 3)))
    assert torch.equal(logits, head.classifier(feature))
    assert feature.shape == (2, width)


def test_where_k_divides_the_side_kernel_and_stride_are_k_and_norms_follow() -> None:
    layers = ExitHead((16, 32, 32), (64, 8, 8), classes=3).bottleneck
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 3
    assert all(isinstance(layer, kind) for layer, kind in zip(layers, kinds, strict=True))
    assert isinstance(ExitHead((16, 8, 8), (64, 8, 8), classes=3, nonnegative=False).bottleneck[-1], nn.Identity)


def test_a_head_says_how_it_is_made() -> None:
    head = ExitHead((16, 32, 32), (64, 8, 8), classes=3, nonnegative=False)
    again = ExitHead(**head.facts())
    assert {name: t.shape for name, t in again.state_dict().items()} == {
        name: t.shape for name, t in head.state_dict().items()
    }
    assert again.facts() == head.facts()


def test_pooled_leaves_class_tokens_out() -> None:
    tokens = torch.rand(2, 17, 5)
    torch.testing.assert_close(pooled(tokens), tokens[:, 1:].mean(1))


def shapes(**found: tuple[int, ...]) -> dict[str, Shape]:
    return {path: Shape.of(torch.zeros(2, *shape)) for path, shape in found.items()}


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(MethodError, match="4×4 places are fewer than the deepest ones, 8×8"):
        ExitHead((16, 4, 4), (64, 8, 8), classes=3)
    found = shapes(low=(4, 8, 8), high=(8, 4, 4))
    assert [head.facts()["features"] for head in heads_for(("low", "high"), found, (2, 3))] == [[4, 8, 8]]
    with pytest.raises(
        MethodError, match=r"shallow to deep .* got high, low, which a pass reaches in the order low, hi"
    ):
        heads_for(("high", "low"), found, (2, 3))
    with pytest.raises(MethodError, match=r"one row of logits per sample, as the network should; it gives \(2, 3, 4\)"):
        heads_for(("low", "high"), found, (2, 3, 4))
    with pytest.raises(MethodError, match="exit at 'low': features of 8×8 places are fewer"):
        heads_for(("low", "high"), shapes(low=(4, 8, 8), high=(8, 16, 16)), (2, 3))
    with pytest.raises(
        MethodError, match=r"tap 'low' of the student: features of shape \(2, 7, 8\) cannot be laid out"
    ):
        heads_for(("low", "high"), shapes(low=(7, 8), high=(8, 4, 4)), (2, 3))


@pytest.mark.parametrize(("side", "width"), [(32, 64), (32, 32), (64, 96)])
def test_in_bfloat16_a_head_answers_as_in_single_precision(side: int, width: int) -> None:
    """Some CPUs get convolutions wrong whose stride is their kernel; a head would learn with that."""
    torch.manual_seed(0)
    head = ExitHead((16, side, side), (width, 8, 8), classes=5).eval()
    features = torch.rand(16, 16, side, side)
    exact = head(features)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(features)[0]
    torch.testing.assert_close(found.float(), exact, rtol=0.05, atol=0.02)
