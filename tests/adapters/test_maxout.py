"""Maxout takes the largest of neighbouring channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.adapters.maxout import Maxout


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("places", [(), (5,), (2, 3)])
def test_it_equals_a_loop(pieces: int, places: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 6, *places))
    expected = [np.max([x[:, c * pieces + k] for k in range(pieces)], axis=0) for c in range(6 // pieces)]
    found = Maxout(pieces)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-12, atol=1e-15)


def test_gradient_reaches_the_largest_channel_only() -> None:
    x = torch.tensor([[1.0, 3.0, -2.0, -5.0]], requires_grad=True)
    Maxout(2)(x).sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_channels_that_cannot_be_grouped_are_refused() -> None:
    with pytest.raises(RuntimeError, match="multiply up to the size of dim 1"):
        Maxout(2)(torch.zeros(1, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_largest_is_exact_in_every_precision_with_gradient_and_without(dtype: torch.dtype) -> None:
    x = torch.tensor([[-100.0, 0.1, 0.1, -100.0]], dtype=dtype, requires_grad=True)
    expected = x.detach().view(1, 2, 2).amax(2)
    assert torch.equal(Maxout(2)(x), expected)
    with torch.no_grad():
        assert torch.equal(Maxout(2)(x), expected)
    Maxout(2)(x).sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0, 1.0, 0.0]]
