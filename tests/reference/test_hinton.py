"""The losses equal Hinton's equations, transcribed independently in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.losses.divergence import logit_matching, mean_distribution, soft_target_kl
from reference import equations as eq

TEMPERATURES = [1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 20.0]


def logits(seed: int = 0, rows: int = 5, classes: int = 10, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return scale * random.standard_normal((rows, classes)), scale * random.standard_normal((rows, classes))


def solve(z: np.ndarray, v: np.ndarray, temperature: float) -> tuple[float, np.ndarray]:
    student = torch.from_numpy(z.copy()).requires_grad_()
    loss = soft_target_kl(student, torch.from_numpy(v), temperature=temperature)
    loss.backward()
    return loss.item(), student.grad.numpy()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_value_and_gradient_equal_the_equations(temperature: float) -> None:
    z, v = logits()
    value, gradient = solve(z, v, temperature)
    assert value == pytest.approx(eq.soft_term(z, v, temperature).mean(), rel=1e-12)
    np.testing.assert_allclose(gradient, eq.soft_gradient(z, v, temperature), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_transcribed_gradient_is_the_slope_of_the_transcribed_value(temperature: float) -> None:
    z, v = logits(rows=2, classes=4)
    slope = eq.numeric_gradient(lambda x: eq.soft_term(x, v, temperature).mean(), z)
    np.testing.assert_allclose(eq.soft_gradient(z, v, temperature), slope, atol=1e-7)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_each_row_alone_equals_the_equation(temperature: float) -> None:
    z, v = logits(1)
    rows = soft_target_kl(torch.from_numpy(z), torch.from_numpy(v), temperature=temperature, reduction="none")
    np.testing.assert_allclose(rows.numpy(), eq.soft_term(z, v, temperature), rtol=1e-11)


def test_the_mean_is_over_rows_and_not_over_classes() -> None:
    z, v = logits()
    value, _ = solve(z, v, 4.0)
    twice, _ = solve(np.concatenate([z, z]), np.concatenate([v, v]), 4.0)
    assert twice == pytest.approx(value, rel=1e-12)
    assert value == pytest.approx(eq.soft_term(z, v, 4.0).sum() / len(z), rel=1e-12)


def test_the_divergence_runs_from_the_teacher_to_the_student() -> None:
    z, v = logits()
    value, _ = solve(z, v, 2.0)
    forward = 4 * eq.kl(eq.softened(v, 2.0), eq.softened(z, 2.0)).mean()
    backward = 4 * eq.kl(eq.softened(z, 2.0), eq.softened(v, 2.0)).mean()
    assert value == pytest.approx(forward, rel=1e-12)
    assert abs(forward - backward) > 0.1


def test_the_square_of_the_temperature_keeps_the_gradients_size() -> None:
    z, v = logits(scale=0.1)
    sizes = [np.abs(solve(z, v, temperature)[1]).sum() for temperature in (5.0, 20.0, 100.0)]
    assert max(sizes) / min(sizes) < 1.01
    unscaled = [size / t**2 for size, t in zip(sizes, (5.0, 20.0, 100.0), strict=True)]
    assert max(unscaled) / min(unscaled) > 300


def test_at_high_temperature_the_loss_is_that_of_centred_logits() -> None:
    # The figures of a run that knew nothing of this code: one row of ten logits from N(0, 3²).
    z, v = logits(rows=1)
    limit = logit_matching(torch.from_numpy(z), torch.from_numpy(v)).item()
    assert limit == pytest.approx(eq.logit_limit(z, v).mean(), rel=1e-12)
    assert round(limit, 3) == 8.957
    found = {t: solve(z, v, t)[0] for t in (1.0, 4.0, 20.0, 100.0, 1e4)}
    assert round(found[1.0], 2) == 6.81
    assert [round(found[t], 3) for t in (4.0, 20.0, 100.0)] == [8.948, 8.950, 8.955]
    assert round(found[1e4], 4) == 8.9566
    assert abs(found[1e4] - limit) < 1e-4


def test_at_high_temperature_the_gradient_is_the_difference_of_zero_mean_logits() -> None:
    z, v = logits()
    z, v = z - z.mean(1, keepdims=True), v - v.mean(1, keepdims=True)
    expected = (z - v) / z.shape[1] / len(z)
    np.testing.assert_allclose(solve(z, v, 1e5)[1], expected, atol=1e-5)
    student = torch.from_numpy(z).requires_grad_()
    logit_matching(student, torch.from_numpy(v)).backward()
    np.testing.assert_allclose(student.grad.numpy(), expected, atol=1e-15)


def test_a_constant_added_to_all_logits_of_a_row_changes_nothing() -> None:
    z, v = logits()
    shift = np.arange(5.0)[:, None] * 10
    for temperature in (1.0, 20.0):
        assert solve(z + shift, v - shift, temperature)[0] == pytest.approx(solve(z, v, temperature)[0], rel=1e-9)
    moved = logit_matching(torch.from_numpy(z + shift), torch.from_numpy(v))
    assert moved.item() == pytest.approx(eq.logit_limit(z, v).mean(), rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_an_ensemble_is_the_arithmetic_or_the_geometric_mean_of_its_members(temperature: float) -> None:
    members = [*logits(2), *logits(3)][:3]
    tensors = [torch.from_numpy(member) for member in members]
    softened = [eq.softened(member, temperature) for member in members]
    arithmetic = sum(softened) / 3
    product = np.prod(softened, axis=0) ** (1 / 3)
    geometric = product / product.sum(1, keepdims=True)
    for mean, expected in (("arithmetic", arithmetic), ("geometric", geometric)):
        found = mean_distribution(tensors, temperature=temperature, mean=mean)
        np.testing.assert_allclose(eq.softened(found.numpy(), temperature), expected, rtol=1e-11)
    np.testing.assert_allclose(
        mean_distribution(tensors, temperature=temperature, mean="arithmetic").numpy(),
        temperature * np.log(arithmetic),
        rtol=1e-11,
    )
    assert np.abs(arithmetic - geometric).max() > 0.05
