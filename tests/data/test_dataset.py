from __future__ import annotations

import pytest
import torch

from limbeck.data.dataset import Dataset, channel_statistics
from limbeck.data.parts import InMemory

from .making import little_part


def test_statistics_equal_torch_in_float64() -> None:
    part = little_part(5000, side=4)
    mean, std = channel_statistics(part)
    floats = part.pixels.double() / 255
    assert mean == pytest.approx(floats.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(floats.std((0, 2, 3), correction=0).tolist(), rel=1e-9)


def test_a_constant_channel_can_be_divided_by() -> None:
    pixels = torch.full((3, 1, 2, 2), 51, dtype=torch.uint8)
    mean, std = channel_statistics(InMemory(pixels, torch.zeros(3).long(), torch.arange(3)))
    assert mean == pytest.approx((0.2,))
    assert std == (1e-3,)


def test_sizes_come_from_the_training_part() -> None:
    data = Dataset(little_part(side=6), None, None, ("a", "b"), mean=(0.0,) * 3, std=(1.0,) * 3)
    assert (data.channels, data.height, data.width) == (3, 6, 6)
