"""The peak of a forward pass, against sums by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.evaluate.memory import peak_memory


class Steps(nn.Module):
    """Doubles the images, then throws the intermediate result away before the next."""

    def forward(self, images: Tensor) -> Tensor:
        large = images.repeat(1, 4, 1, 1)  # 4 units
        small = large[:, :1] * 2  # a view, then 1 unit
        del large
        return small.repeat(1, 2, 1, 1) + 1  # 2 + 2 units


def test_intermediate_results_count_while_they_live() -> None:
    unit = 2 * 8 * 8 * 4
    peak = peak_memory(Steps(), torch.rand(2, 1, 8, 8))
    # images (1) + large (4) + small (1); later only images, small, and two results of 2.
    assert peak == {"bytes": 6 * unit, "batch": 2, "device": "cpu"}


def test_weights_buffers_and_images_count_once() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(10, 20)
    model = nn.Sequential(nn.Flatten(), layer, nn.ReLU(inplace=True))
    model.register_buffer("table", torch.zeros(100))
    images = torch.rand(3, 1, 2, 5)
    expected = 4 * (20 * 10 + 20 + 100 + 3 * 10 + 3 * 20)
    assert peak_memory(model, images)["bytes"] == expected


def test_depth_costs_nothing_without_gradients() -> None:
    def chain(depth: int) -> nn.Module:
        return nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(depth)))

    images = torch.rand(2, 4, 32, 32)
    extra = peak_memory(chain(12), images)["bytes"] - peak_memory(chain(4), images)["bytes"]
    assert extra == 8 * 4 * 4 * 9 * 4


def test_modes_are_restored() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()
    model[1].eval()
    peak_memory(model, torch.rand(1, 1, 2, 2))
    assert [module.training for module in model.modules()] == [True, True, False]
