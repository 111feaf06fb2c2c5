"""Networks of the zoo and little transformers on colour images, for tests of layers that are found by themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.models.build import build
from little import CLASSES


def network(name: str, *, side: int = 32, **arguments: Any) -> nn.Module:
    """A network by its name, on square images with three channels; the same bits at every call."""
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(name, arguments, classes=CLASSES, channels=3, height=side, width=side)


def vit(*, depth: int = 3, width: int = 24) -> nn.Module:
    """A transformer on 32×32 images with 8 × 8 tokens and a class token: `blocks.0`, `blocks.1`, …"""
    arguments = {"patch_size": 4, "depth": depth, "embed_dim": width, "num_heads": 2}
    return network("timm/vit_tiny_patch16_224", **arguments)


def colour_batch(count: int = 4, *, side: int = 32, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images [n 3 side side], labels [n]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=generator), torch.arange(count) % CLASSES
