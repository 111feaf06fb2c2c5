"""What a method learns about its taps before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller
from limbeck.core.method import Method, Nets, Shape, Shapes
from limbeck.core.settings import settings
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch


@pytest.mark.parametrize(
    ("tensor", "nonnegative"),
    [
        (torch.tensor([[0.0, 2.0]]), True),
        (torch.tensor([[1e-30, 2.0]]), True),
        (torch.tensor([[-1e-30, 2.0]]), False),
        (torch.zeros(0, 3), True),
    ],
)
def test_a_shape_is_a_tuple_that_knows_whether_a_value_was_negative(tensor: Tensor, nonnegative: bool) -> None:
    shape = Shape.of(tensor)
    assert shape == tuple(tensor.shape)
    assert shape.nonnegative is nonnegative


def test_shapes_come_in_the_order_in_which_a_pass_reaches_the_taps() -> None:
    seen: dict[str, Mapping[str, Shape]] = {}

    @settings
    class Looking(Method):
        def tapped(self) -> Mapping[str, Sequence[str]]:
            return {"student": ("5", "0", "2"), "teacher": ("4",)}

        def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
            seen.update(shapes)
            return {}

    Distiller(Looking(), Classification(), {"student": conv_net(), "teacher": conv_net(6)}, image_batch(3))
    assert list(seen["student"].items()) == [("0", (3, 4, 4, 4)), ("2", (3, 4, 4, 4)), ("5", (3, 4, 2, 2))]
    assert [shape.nonnegative for shape in seen["student"].values()] == [False, True, True]
    assert seen["teacher"] == {"4": (3, 6, 2, 2)}
