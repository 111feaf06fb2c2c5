"""What a stored pass still says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.core.errors import RunError
from limbeck.core.forward_pass import ForwardPass
from limbeck.train.recorded import packed, restored

TAPS = {"1": torch.randn(6, 4), "5": torch.randn(6, 2, 3, 3).bfloat16(), "mask": torch.ones(6, dtype=torch.bool)}
TYPES = {name: tensor.dtype for name, tensor in TAPS.items()}


def round_trip(
    logits: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
    top: int | None = None,
    until: str | None = None,
    temperature: float = 1.0,
):
    stored = packed(ForwardPass(logits, TAPS), dtype=dtype, top=top, temperature=temperature, rows=6, who="teacher")
    return restored(stored, TYPES, classes=logits.shape[-1], until=until, temperature=temperature)


def at(temperature: float, logits: Tensor) -> np.ndarray:
    """The distribution at a temperature."""
    return (logits.double() / temperature).softmax(-1).numpy()


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 0.0), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_outputs_come_back_as_float32_and_taps_in_their_own_type(dtype: torch.dtype, rtol: float) -> None:
    logits = 5 * torch.randn(6, 10)
    found = round_trip(logits, dtype=dtype)
    assert found.output.dtype == torch.float32
    torch.testing.assert_close(found.output, logits, rtol=rtol, atol=rtol)
    assert list(found.taps) == list(TAPS)
    for name, tensor in TAPS.items():
        torch.testing.assert_close(found.taps[name], tensor, rtol=rtol, atol=rtol)  # and of the same type


def test_a_pass_that_stops_at_a_tap_has_what_came_before_it() -> None:
    found = round_trip(torch.randn(6, 10), until="5")
    assert found.output is None
    assert list(found.taps) == ["1", "5"]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_top_keeps_probabilities_and_all_of_the_mass(temperature: float) -> None:
    logits = 3 * torch.randn(6, 50, dtype=torch.float64)
    found = round_trip(logits, top=5, temperature=temperature).output
    p, q = at(temperature, logits), np.exp(found.double().numpy() / temperature)
    kept = np.argsort(-p, axis=-1)[:, :5]
    np.testing.assert_allclose(np.take_along_axis(q, kept, -1), np.take_along_axis(p, kept, -1), rtol=1e-6)
    np.testing.assert_allclose(q.sum(-1), 1, rtol=1e-6)
    rest = 1 - np.take_along_axis(p, kept, -1).sum(-1)
    others = np.delete(q[0], kept[0])
    np.testing.assert_allclose(others, rest[0] / 45, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_what_top_loses_is_as_large_as_the_docstring_says(temperature: float) -> None:
    logits = 3 * torch.randn(6, 50, dtype=torch.float64)
    p = at(temperature, logits)
    q = at(temperature, round_trip(logits, top=5, temperature=temperature).output)
    lost = (p * np.log(p / q)).sum(-1)
    tails = [np.sort(row)[:-5] for row in p]
    rest = np.array([tail.sum() for tail in tails])
    entropy = np.array([-(tail / tail.sum() * np.log(tail / tail.sum())).sum() for tail in tails])
    np.testing.assert_allclose(lost, rest * (math.log(45) - entropy), rtol=1e-4)
    assert (lost <= rest * math.log(45)).all()


def test_a_teacher_that_is_sure_keeps_a_rest_that_is_not_zero() -> None:
    logits = torch.zeros(6, 10)
    logits[:, 0] = 60.0  # 1 - p has no digit of this in float32
    found = round_trip(logits, dtype=torch.float16, top=1).output
    torch.testing.assert_close(found[:, 1:], torch.full((6, 9), -60.0), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("top", [10, 12])
def test_top_must_leave_a_rest(top: int) -> None:
    with pytest.raises(RunError, match=f"top {top} of 10 classes leaves no rest; expected at most 9"):
        round_trip(torch.randn(6, 10), top=top)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(RunError, match=r"output is not finite as float16; try .*float32"):
        round_trip(torch.full((6, 10), 1e5), dtype=torch.float16)
    with pytest.raises(RunError, match=r"taps/0 has shape \[3\] on a batch of 6; only tensors with one row"):
        packed(ForwardPass(torch.ones(6, 2), {"0": torch.ones(3)}), dtype=torch.float16, top=None, rows=6, who="t")
    with pytest.raises(RunError, match="gives a list; only tensors"):
        packed(ForwardPass([1], {}), dtype=torch.float16, top=None, rows=6, who="t")
