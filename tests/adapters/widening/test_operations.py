"""Functions by their names in a graph: in-place versions, functions behind torch's wrappers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from limbeck.adapters.widening.operations import joins, keeps, pools, tells


def call(function: object) -> fx.Node:
    class Calling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)  # type: ignore[operator]

    (node,) = [node for node in fx.Tracer().trace(Calling()).nodes if node.op.startswith("call")]
    return node


@pytest.mark.parametrize("function", [F.relu, torch.relu_, lambda x: x.relu_(), lambda x: F.max_pool2d(x, 2)])
def test_these_keep_channels_apart(function: object) -> None:
    assert keeps(call(function))


@pytest.mark.parametrize("function", [lambda x: x.mean(1), lambda x: x.squeeze(), lambda x: x.flatten(2), torch.cumsum])
def test_these_do_not(function: object) -> None:
    node = call(function) if function is not torch.cumsum else call(lambda x: torch.cumsum(x, 1))
    assert not keeps(node)


def test_sums_products_and_facts() -> None:
    assert joins(call(lambda x: x + 1)) == "add"
    assert joins(call(lambda x: x.mul_(2))) == "mul"
    assert joins(call(F.relu)) == ""
    assert tells(call(lambda x: x.shape))
    assert tells(call(lambda x: x.size(0)))
    assert not tells(call(lambda x: x.T))
    assert pools(call(lambda x: F.adaptive_avg_pool2d(x, 1)))
    assert pools(call(lambda x: x.mean((2, 3))))
    assert not pools(call(F.relu))
