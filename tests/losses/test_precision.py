"""Losses are computed in single precision at least, and no tensor is copied for nothing."""

from __future__ import annotations

import pytest
import torch

from limbeck.losses.precision import wide


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single_and_keeps_its_values_and_gradient(dtype: torch.dtype) -> None:
    half = torch.randn(3, 4).to(dtype).requires_grad_()
    found = wide(half)
    assert found.dtype is torch.float32
    assert torch.equal(found.to(dtype), half)
    found.sum().backward()
    assert torch.equal(half.grad, torch.ones(3, 4, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_single_and_double_precision_come_back_as_they_are(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, dtype=dtype)
    assert wide(tensor) is tensor
