"""`KD.terms` and the label term equal the equations, with unlabelled rows, mixed labels and smoothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.forward_pass import ForwardPass
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from reference import equations as eq

ROWS, CLASSES = 6, 4


def problem() -> tuple[nn.Module, nn.Module, np.ndarray, np.ndarray]:
    """Two linear networks in float64 and their logits by NumPy; the same ones at every call."""
    torch.manual_seed(0)
    random = np.random.default_rng(4)
    images = random.standard_normal((ROWS, 3))
    networks, logits = [], []
    for _ in range(2):
        network = nn.Linear(3, CLASSES).double()
        networks.append(network)
        logits.append(images @ network.weight.detach().numpy().T + network.bias.detach().numpy())
    return *networks, images, np.stack(logits)


def terms(method: KD, labels: torch.Tensor, task: Classification | None = None) -> tuple[dict, np.ndarray, np.ndarray]:
    student, teacher, images, (z, v) = problem()
    batch = (torch.from_numpy(images), labels)
    models = {"student": student, "teacher": teacher}
    found = Distiller(method, task or Classification(), models, batch)(batch)
    return {name: value.item() for name, value in found.items()}, z, v


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (4.0, 0.1), (20.0, 0.9)])
def test_the_objective_is_the_weighted_average_of_the_hard_and_the_soft_term(temperature: float, weight: float) -> None:
    labels = np.array([0, 1, 2, 3, 0, 1])
    found, z, v = terms(KD(temperature=temperature, hard_weight=weight), torch.from_numpy(labels))
    assert found["task"] == pytest.approx(weight * eq.hard_term(z, labels).mean(), rel=1e-12)
    assert found["kd"] == pytest.approx((1 - weight) * eq.soft_term(z, v, temperature).mean(), rel=1e-11)


def test_without_a_hard_weight_labels_are_not_used_at_all() -> None:
    some, z, v = terms(KD(temperature=2, hard_weight=0), torch.zeros(ROWS, dtype=torch.long))
    none, _, _ = terms(KD(temperature=2, hard_weight=0), torch.full((ROWS,), -100))
    assert set(some) == {"kd"}
    assert some == none
    assert some["kd"] == pytest.approx(eq.soft_term(z, v, 2.0).mean(), rel=1e-12)


def test_a_row_without_a_label_has_a_soft_term_and_counts_in_the_mean_of_the_hard_one() -> None:
    labels = np.array([0, -100, 2, -100, -100, 1])
    found, z, v = terms(KD(temperature=3, hard_weight=0.25), torch.from_numpy(labels))
    assert found["task"] == pytest.approx(0.25 * eq.hard_term(z, labels).sum() / ROWS, rel=1e-12)
    assert found["kd"] == pytest.approx(0.75 * eq.soft_term(z, v, 3.0).mean(), rel=1e-11)


def test_a_batch_without_any_label_has_a_hard_term_of_zero() -> None:
    found, _, _ = terms(KD(), torch.full((ROWS,), -100))
    assert found["task"] == 0.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_label_smoothing_spreads_its_mass_over_all_classes(smoothing: float) -> None:
    labels = np.array([0, 1, -100, 3, 0, -100])
    task = Classification(label_smoothing=smoothing)
    found, z, _ = terms(KD(hard_weight=1), torch.from_numpy(labels), task)
    assert found["task"] == pytest.approx(eq.smoothed_hard_term(z, labels, smoothing).sum() / ROWS, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_mixed_labels_are_smoothed_like_hard_ones_and_a_row_of_zeros_has_no_label(
    smoothing: float, dtype: torch.dtype
) -> None:
    mixed = np.zeros((ROWS, CLASSES))
    mixed[0, 1] = 1.0
    mixed[1] = [0.25, 0.75, 0, 0]
    mixed[3] = [0.5, 0, 0, 0.5]
    task = Classification(label_smoothing=smoothing)
    found, z, _ = terms(KD(hard_weight=1), torch.from_numpy(mixed).to(dtype), task)
    smoothed = (1 - smoothing) * mixed + smoothing * mixed.sum(1, keepdims=True) / CLASSES
    expected = -(smoothed * np.log(eq.softened(z, 1.0))).sum() / ROWS
    assert found["task"] == pytest.approx(expected, rel=1e-6 if dtype == torch.float32 else 1e-12)


def test_parts_of_a_batch_add_up_to_the_whole_however_many_of_each_are_labelled() -> None:
    task, logits = Classification(), torch.randn(6, 3)
    labels = torch.tensor([-100, -100, 0, 1, -100, 2])
    whole = task.supervised(ForwardPass(logits, {}), (logits, labels))
    parts = [task.supervised(ForwardPass(logits[a:b], {}), (logits[a:b], labels[a:b])) for a, b in ((0, 2), (2, 6))]
    torch.testing.assert_close(parts[0] * 2 / 6 + parts[1] * 4 / 6, whole)
