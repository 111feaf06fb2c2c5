from __future__ import annotations

import torch

from limbeck.data.batches import unit_pixels


def test_bytes_become_the_unit_interval() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.allclose(unit_pixels(pixels), torch.linspace(0, 1, 256), atol=1e-7)
    assert unit_pixels(pixels).dtype == torch.float32
    assert unit_pixels(pixels)[255] == 1.0
