"""Layers on the first channels of wider weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from limbeck.adapters.widening.channels import Layer
from limbeck.adapters.widening.layers import Active, Sliced, cut, wider


def test_the_first_channels_are_the_layers_own_and_the_others_follow_the_seed() -> None:
    layer = nn.Conv2d(2, 3, 3)
    torch.manual_seed(5)
    wide = wider(layer, 6, 4)
    assert wide.weight.shape == (6, 4, 3, 3)
    assert (wide.in_channels, wide.out_channels, wide.groups) == (4, 6, 1)
    assert torch.equal(wide.weight[:3, :2], layer.weight)
    assert torch.equal(wide.bias, torch.cat((layer.bias, torch.zeros(3))))
    torch.manual_seed(5)
    expected = torch.randn(6, 4, 3, 3) * layer.weight.std(correction=0)
    assert torch.equal(wide.weight[3:], expected[3:])
    assert torch.equal(wide.weight[:, 2:], expected[:, 2:])
    assert layer.weight.shape == (3, 2, 3, 3)


def test_additional_channels_of_batch_norm_change_nothing() -> None:
    norm = nn.BatchNorm2d(2)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.running_var, 1, 2)
    wide = wider(norm, 5, None)
    assert torch.equal(wide.weight, torch.cat((norm.weight, torch.ones(3))))
    assert torch.equal(wide.bias, torch.zeros(5))
    assert torch.equal(wide.running_var, torch.cat((norm.running_var, torch.ones(3))))
    assert torch.equal(wide.running_mean, torch.zeros(5))
    assert wide.num_features == 5


def test_a_frozen_parameter_stays_frozen_and_a_type_stays() -> None:
    layer = nn.Linear(2, 3).double()
    layer.weight.requires_grad_(False)
    wide = wider(layer, 3, 4)
    assert not wide.weight.requires_grad
    assert wide.bias.requires_grad
    assert wide.weight.dtype == torch.float64


@pytest.mark.parametrize("shape", [(2, 3), (4, 3), (2, 5), (4, 5)])
def test_an_ordinary_convolution_takes_a_corner(shape: tuple[int, int]) -> None:
    rows, columns = shape
    wide = nn.Conv2d(5, 4, 3, stride=2, padding=1)
    x = torch.randn(2, columns, 8, 8)
    sliced = Sliced(wide, Active({0: rows, 1: columns}), Layer("", 0, 1))
    expected = F.conv2d(x, wide.weight[:rows, :columns], wide.bias[:rows], stride=2, padding=1)
    assert torch.equal(sliced(x), expected)
    assert wide.weight.shape == (4, 5, 3, 3)  # as before


def test_a_depthwise_convolution_has_as_many_groups_as_active_channels() -> None:
    wide = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
    x = torch.randn(2, 4, 5, 5)
    sliced = Sliced(wide, Active({0: 4}), Layer("", 0, None))
    assert torch.equal(sliced(x), F.conv2d(x, wide.weight[:4], padding=1, groups=4))
    assert wide.groups == 6


def test_a_linear_layer_takes_columns() -> None:
    wide = nn.Linear(6, 3)
    x = torch.randn(2, 4)
    assert torch.equal(
        Sliced(wide, Active({0: 3, 1: 4}), Layer("", 0, 1))(x), F.linear(x, wide.weight[:, :4], wide.bias)
    )


def test_of_flattened_maps_a_channel_is_as_many_features_as_it_has_pixels() -> None:
    linear, norm = nn.Linear(12, 3), nn.BatchNorm1d(12).eval()
    active, maps = Active({0: 3, 1: 2}), torch.randn(2, 2, 1, 4)
    x = maps.flatten(1)
    assert torch.equal(Sliced(linear, active, Layer("", 0, 1, 4))(x), F.linear(x, linear.weight[:, :8], linear.bias))
    nn.init.uniform_(norm.weight)
    assert torch.equal(
        Sliced(norm, active, Layer("", 1, None, 4))(x),
        F.batch_norm(x, norm.running_mean[:8], norm.running_var[:8], norm.weight[:8], norm.bias[:8]),
    )


def test_slopes_of_channels() -> None:
    given = nn.PReLU(2)
    with torch.no_grad():
        given.weight.copy_(torch.tensor([0.1, 0.5]))
    wide = wider(given, 5, None)
    assert wide.num_parameters == 5
    torch.testing.assert_close(wide.weight, torch.tensor([0.1, 0.5, 0.3, 0.3, 0.3]))
    x = -torch.ones(1, 2, 1, 1)
    assert torch.equal(Sliced(wide, Active({0: 2}), Layer("", 0, None))(x), given(x))


def test_batch_norm_moves_the_running_statistics_of_active_channels_only() -> None:
    wide, narrow = nn.BatchNorm2d(5), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 2, 2) + 1
    assert torch.equal(Sliced(wide, Active({0: 3}), Layer("", 0, None))(x), narrow(x))
    assert torch.equal(wide.running_mean, torch.cat((narrow.running_mean, torch.zeros(2))))
    assert torch.equal(wide.running_var, torch.cat((narrow.running_var, torch.ones(2))))
    assert wide.num_batches_tracked.item() == 1


def test_a_subclass_runs_its_own_code() -> None:
    class Doubling(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, 2 * self.weight, self.bias)

    wide = Doubling(2, 4, 1)
    x = torch.randn(1, 2, 3, 3)
    expected = F.conv2d(x, 2 * wide.weight[:3], wide.bias[:3])
    assert torch.equal(Sliced(wide, Active({0: 3, 1: 2}), Layer("", 0, 1))(x), expected)


def test_gradient_reaches_the_active_corner_and_is_zero_elsewhere() -> None:
    wide = nn.Conv2d(3, 4, 1)
    Sliced(wide, Active({0: 2, 1: 2}), Layer("", 0, 1))(torch.randn(2, 2, 3, 3)).square().sum().backward()
    assert wide.weight.grad is not None
    assert wide.weight.grad[:2, :2].all()
    assert wide.weight.grad.count_nonzero() == 4


def test_an_error_in_the_layer_leaves_it_whole() -> None:
    wide = nn.Conv2d(3, 4, 1)
    sliced = Sliced(wide, Active({0: 2, 1: 2}), Layer("", 0, 1))
    with pytest.raises(RuntimeError):
        sliced(torch.randn(2, 3, 3, 3))
    assert wide.weight.shape == (4, 3, 1, 1)
    assert isinstance(wide.weight, nn.Parameter)
    sliced(torch.randn(2, 2, 3, 3)).sum().backward()
    copy.deepcopy(sliced)  # nothing of the pass is left that could not be copied


def test_a_cut_shares_memory_and_leaves_scalars_and_whole_tensors_alone() -> None:
    tensor = torch.arange(12.0).view(3, 4)
    assert cut(tensor, 2, 3).tolist() == [[0, 1, 2], [4, 5, 6]]
    assert cut(tensor, 2, 3).data_ptr() == tensor.data_ptr()
    assert cut(tensor, 3, 4) is tensor
    assert cut(tensor, 3, None) is tensor
    assert cut(torch.tensor(5), 2, None).item() == 5
