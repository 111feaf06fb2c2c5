"""`Hint.terms` and `FitNets`' two stages equal the equations of FitNets, value and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.core.pairs import Pair
from limbeck.methods.fitnets import FitNets
from limbeck.methods.hint import Hint
from reference import equations as eq
from reference import feature_equations as fe
from reference.given import LABELS, Array, check, distilled, given, objective, values

PAIRS = tuple(Pair(student=f"layers.{layer}", teacher=f"layers.{layer}") for layer in (0, 1))
STUDENT = [(2, 2, 4), (3, 4, 4)]
TEACHER = [(3, 2, 4), (2, 2, 2)]  # the first of the student's size, the second smaller


@pytest.mark.parametrize(
    ("activation", "weight", "hard_weight"), [("none", 1.0, 1.0), ("relu", 25.0, 0.3), ("maxout", 0.4, 0.0)]
)
def test_a_hint_beside_the_labels_equals_the_equation(activation: str, weight: float, hard_weight: float) -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    found = distilled(Hint(taps=PAIRS, weight=weight, hard_weight=hard_weight, activation=activation), student, teacher)
    hints = values(teacher)

    def guess(v: Array, u: Array, kernel: Array, bias: Array) -> Array:
        return fe.activated(fe.convolution(fe.pooled(v, u.shape[2:]), kernel, bias), activation)

    def expected(v0: Array, v1: Array, k0: Array, b0: Array, k1: Array, b1: Array, *logits: Array) -> float:
        losses = [
            fe.hint_loss(u, guess(v, u, k, b)) for u, v, k, b in zip(hints, (v0, v1), (k0, k1), (b0, b1), strict=True)
        ]
        label = hard_weight * eq.hard_term(logits[0], LABELS).mean() if logits else 0.0
        return label + weight * sum(losses)

    by = [*student.features, *found.adapters.parameters(), *([student.logits] if hard_weight else [])]
    check(objective(found), by, expected)


@pytest.mark.parametrize("activation", ["none", "relu", "maxout"])
def test_stage_one_of_fitnets_equals_the_equation(activation: str) -> None:
    # Sides of 5 × 3 and 2 × 3 ask for a kernel of 4 × 1.
    student, teacher = given([(2, 5, 3)], seed=3), given([(2, 2, 3)], seed=4)
    found = distilled(FitNets(taps=PAIRS[0], activation=activation), student, teacher)
    kernel, bias = found.adapters.parameters()
    assert kernel.shape[2:] == (4, 1)
    (hint,) = values(teacher)

    def expected(v: Array, weight: Array, shift: Array) -> float:
        return fe.hint_loss(hint, fe.activated(fe.convolution(v, weight, shift), activation))

    check(objective(found, phase=0), [*student.features, kernel, bias], expected)


def test_stage_one_of_fitnets_with_a_pointwise_regressor_takes_means_of_places() -> None:
    student, teacher = given([(2, 4, 6)], seed=3), given([(3, 2, 3)], seed=4)
    found = distilled(FitNets(taps=PAIRS[0], regressor="pointwise", activation="none"), student, teacher)
    (hint,) = values(teacher)

    def expected(v: Array, weight: Array, shift: Array) -> float:
        return fe.hint_loss(hint, fe.convolution(fe.pooled(v, (2, 3)), weight, shift))

    check(objective(found, phase=0), [*student.features, *found.adapters.parameters()], expected)


@pytest.mark.parametrize("step", [0, 3, 4, 5, 7])
@pytest.mark.parametrize(
    ("temperature", "start", "end", "anneal"),
    [(3.0, 4.0, 1.0, 1.0), (1.0, 5.0, 0.0, 0.5), (8.0, 0.5, 2.0, 0.6)],
)
def test_stage_two_of_fitnets_equals_the_equation(
    temperature: float, start: float, end: float, anneal: float, step: int
) -> None:
    student, teacher = given([(2, 2, 2)], seed=5), given([(2, 2, 2)], seed=6)
    method = FitNets(taps=PAIRS[0], temperature=temperature, soft_start=start, soft_end=end, anneal=anneal)
    found = distilled(method, student, teacher)
    v = teacher.logits.detach().numpy().copy()
    weight = fe.fall(step / 8, start=start, end=end, anneal=anneal)

    def expected(z: Array) -> float:
        return fe.soft_loss(z, v, LABELS, temperature=temperature, weight=weight)

    check(objective(found, phase=1, step=step, steps=8), [student.logits], expected)


def test_the_soft_targets_of_stage_two_have_no_factor_of_the_temperature() -> None:
    student, teacher = given([(2, 2, 2)], seed=5), given([(2, 2, 2)], seed=6)
    method = FitNets(taps=PAIRS[0], temperature=50.0, soft_start=1.0, soft_end=1.0)
    found = distilled(method, student, teacher)
    (at,) = found.turns(0, 8, phase=1)
    soft = found((torch.zeros(3, 4), torch.from_numpy(LABELS)), at)["kd"].item()
    z, v = (model.logits.detach().numpy() for model in (student, teacher))
    assert soft == pytest.approx(eq.logit_limit(z, v).mean() / 50**2, rel=0.05)


def test_the_transcribed_convolution_is_the_definition_at_one_place() -> None:
    random = np.random.default_rng(0)
    x, weight, bias = (random.standard_normal(shape) for shape in ((1, 2, 4, 3), (3, 2, 2, 3), (3,)))
    out = fe.convolution(x, weight, bias)
    assert out.shape == (1, 3, 3, 1)
    assert out[0, 2, 1, 0] == pytest.approx((weight[2] * x[0, :, 1:3, :]).sum() + bias[2], rel=1e-12)
