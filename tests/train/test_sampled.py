"""Samples stand for their distribution without bias, at the temperature at which they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.losses.divergence import soft_target_kl
from limbeck.train.sampled import drawn, from_draws

CLASSES, DRAWS, SAMPLES, T = 12, 5, 20_000, 3.0
IDS = torch.arange(SAMPLES) * 7 + 3


def teacher() -> Tensor:
    """One row of logits, of which one class is sure to be missed by a few draws."""
    return torch.linspace(-4.0, 6.0, CLASSES)[torch.randperm(CLASSES, generator=torch.Generator().manual_seed(1))]


def softmax(logits: Tensor, temperature: float) -> np.ndarray:
    scaled = logits.double().numpy() / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sampled(logits: Tensor, ids: Tensor = IDS, *, view: int = 0, draws: int = DRAWS, temperature: float = T) -> Tensor:
    return drawn(logits.expand(len(ids), -1), ids, view=view, draws=draws, temperature=temperature)


@pytest.mark.parametrize("temperature", [1.0, T])
@pytest.mark.parametrize("draws", [1, DRAWS])
def test_on_average_the_stored_distribution_is_the_teacher_s(draws: int, temperature: float) -> None:
    found = from_draws(
        sampled(teacher(), draws=draws, temperature=temperature), classes=CLASSES, temperature=temperature
    )
    stored = softmax(found, temperature)
    expected = softmax(teacher(), temperature)
    error = np.sqrt(expected * (1 - expected) / (draws * SAMPLES))  # of independent draws; strata have less
    assert (np.abs(stored.mean(0) - expected) < 4.5 * error).all()
    np.testing.assert_allclose(stored * draws, np.round(stored * draws), atol=1e-4)  # shares of so many draws
    np.testing.assert_allclose(stored.sum(-1), 1)


def test_strata_lose_less_than_independent_draws() -> None:
    stored = softmax(from_draws(sampled(teacher(), draws=8), classes=CLASSES, temperature=T), T)
    p = softmax(teacher(), T)
    assert (stored.var(0) <= 1.05 * p * (1 - p) / 8).all()
    assert stored.var(0).sum() < 0.6 * (p * (1 - p) / 8).sum()
    assert ((stored * 8).round() >= np.floor(8 * p) - 1).all()


def test_the_gradient_of_the_divergence_is_unbiased() -> None:
    """Against the closed form T · (q - p), in float64."""
    student = torch.randn(CLASSES, generator=torch.Generator().manual_seed(2))
    rows = student.expand(SAMPLES, -1).clone().requires_grad_()
    stored = from_draws(sampled(teacher()), classes=CLASSES, temperature=T)
    soft_target_kl(rows, stored, temperature=T, reduction="none").sum().backward()
    found = rows.grad.double().numpy()
    expected = T * (softmax(student, T) - softmax(teacher(), T))
    error = found.std(0) / np.sqrt(SAMPLES)
    assert (np.abs(found.mean(0) - expected) < 4.5 * error + 1e-5).all()
    assert (error < 0.02).all()  # or the test could not fail


def test_classes_that_were_not_drawn_count_for_nothing_and_break_nothing() -> None:
    """With a student that gives them no probability either."""
    stored = from_draws(torch.tensor([[0, 0, 3]], dtype=torch.int16), classes=5, temperature=T)
    student = torch.tensor([[2.0, -300.0, 0.0, 1.0, 80.0]], requires_grad=True)
    loss = soft_target_kl(student, stored, temperature=T)
    log_q = student.detach().double().div(T).log_softmax(-1)[0]
    p = np.array([2 / 3, 1 / 3])
    expected = T**2 * float((p * (np.log(p) - log_q[[0, 3]].numpy())).sum())
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert bool(student.grad.isfinite().all())
    assert stored[0, [1, 2, 4]].div(T).exp().tolist() == [0.0, 0.0, 0.0]


def test_draws_are_a_function_of_view_and_id() -> None:
    first = sampled(teacher())
    assert torch.equal(first, sampled(teacher()))
    order = torch.randperm(SAMPLES)
    assert torch.equal(first[order][:50], sampled(teacher(), IDS[order][:50]))
    assert (first != sampled(teacher(), view=1)).float().mean() > 0.1


def test_a_class_without_probability_is_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf])
    assert sampled(logits, draws=4).unique().tolist() == [1, 3]


def test_every_position_of_a_sample_has_draws_of_its_own() -> None:
    logits = torch.zeros(6, 3, 2, CLASSES)
    found = drawn(logits, torch.arange(6), view=0, draws=4, temperature=1.0)
    assert found.shape == (6, 3, 2, 4)
    assert len({tuple(row) for row in found.flatten(0, -2).tolist()}) > 24  # of 36
    assert from_draws(found, classes=CLASSES, temperature=1.0).shape == logits.shape


@pytest.mark.parametrize(("classes", "dtype"), [(32768, torch.int16), (32769, torch.int32)])
def test_classes_are_kept_in_the_smallest_type(classes: int, dtype: torch.dtype) -> None:
    logits = torch.zeros(2, classes)
    logits[:, -1] = 100.0
    found = drawn(logits, torch.arange(2), view=0, draws=3, temperature=1.0)
    assert found.dtype == dtype
    assert found.unique().tolist() == [classes - 1]
