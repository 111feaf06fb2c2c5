"""Sorting channels: order, what follows it, and a function that stays."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.widening.sorting import sort_channels
from limbeck.adapters.widening.supernet import plain, view_of, widen
from little import image_batch
from little_vision import colour_batch, network
from little_wide import EXPANDS, WIDTHS, mobile_net, stirred


def in_place(tensor: Tensor, axis: int, order: Tensor) -> None:
    with torch.no_grad():
        tensor.copy_(tensor.index_select(axis, order))


def views(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """With layers that do something in all channels, and channels of a given network that are no larger than others."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        student, wide = widen(model, widths=WIDTHS, expands=EXPANDS)
        stirred(student)
        for name, parameter in student.named_parameters():
            if name.endswith("bias"):
                nn.init.uniform_(parameter, -0.5, 0.5)
            elif parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter)
    view_of(wide).draw(Random(0), widths=WIDTHS[-1:], expands=EXPANDS[-1:])
    return student, wide


def test_the_function_at_full_width_stays_and_the_inner_network_changes() -> None:
    student, wide = (view.double() for view in views(mobile_net()))
    images = image_batch()[0].double()
    before, inside = wide(images), student(images)
    sort_channels(student, in_place)
    torch.testing.assert_close(wide(images), before)
    assert (student(images) - inside).abs().max() > 1e-3
    assert torch.equal(plain(student).eval()(images), student.eval()(images))


@pytest.mark.parametrize("name", ["resnet8", "mobilenetv2_tiny", "mobilenetv3_w035", "timm/mobilenetv3_small_050"])
def test_the_function_stays_in_larger_families(name: str) -> None:
    student, wide = (view.eval().double() for view in views(network(name)))
    images = colour_batch(2)[0].double()
    before, weights = wide(images), {n: t.clone() for n, t in student.state_dict().items()}
    sort_channels(student, in_place)
    torch.testing.assert_close(wide(images), before)
    moved = [n for n, t in student.state_dict().items() if not torch.equal(t, weights[n])]
    assert any("running_mean" in name for name in moved)
    assert any("running_var" in name for name in moved)


def test_the_columns_of_the_projection_are_in_order_and_so_are_those_of_the_gate() -> None:
    student, _ = views(mobile_net())
    block = student.get_submodule("layer1.1")
    project, excite = block.project.conv.layer.weight, block.squeeze.excite.layer.weight
    before = project.detach().clone()
    sort_channels(student, in_place)
    for weight in (project, excite):
        norms = weight.detach().abs().sum((0, 2, 3))
        assert (norms.diff() <= 0).all()
    norms = before.abs().sum((0, 2, 3))
    assert torch.equal(project.detach(), before[:, norms.argsort(descending=True)])


def test_the_function_stays_where_the_channels_of_a_block_are_flattened() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1), nn.PReLU(8), nn.Conv2d(8, 8, 3, groups=8)),
        *(nn.Flatten(), nn.BatchNorm1d(8 * 36), nn.Linear(8 * 36, 2)),
    )
    student, wide = (view.eval().double() for view in views(model))
    images = colour_batch(4, side=8)[0].double()
    before, inside = wide(images), student(images)
    sort_channels(student, in_place)
    torch.testing.assert_close(wide(images), before)
    assert (student(images) - inside).abs().max() > 1e-3
    norms = student.get_submodule("6").layer.weight.detach().abs().unflatten(1, (-1, 36)).sum((0, 2))
    assert len(norms) > 8
    assert (norms.diff() <= 0).all()


def test_only_what_is_inside_blocks_moves() -> None:
    student, _ = views(mobile_net())
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    sort_channels(student, in_place)
    moved = {name for name, tensor in student.state_dict().items() if not torch.equal(tensor, before[name])}
    inside = ("expand", "depthwise", "squeeze", "project.conv")
    assert moved
    assert all(name.startswith("layer1") and any(part in name for part in inside) for name in moved)


def test_a_second_sort_changes_nothing() -> None:
    student, _ = views(mobile_net())
    sort_channels(student, in_place)
    orders: list[Tensor] = []
    sort_channels(student, lambda tensor, axis, order: orders.append(order))
    assert orders
    assert all(torch.equal(order, torch.arange(len(order))) for order in orders)


def test_a_branch_that_nothing_comes_of_is_not_sorted() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.expand, self.fc = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(4, 2)
            self.depthwise = nn.Conv2d(8, 8, 3, groups=8)

        def forward(self, images: Tensor) -> Tensor:
            x = self.stem(images)
            self.depthwise(self.expand(x))
            return self.fc(x.mean((2, 3)))

    student, _ = views(Aside())
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    sort_channels(student, in_place)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
