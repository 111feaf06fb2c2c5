"""`AttentionTransfer.terms` equals the equations of Zagoruyko and Komodakis, value and gradient."""

from __future__ import annotations

import pytest

from limbeck.core.pairs import Pair
from limbeck.methods.attention_transfer import AttentionTransfer
from reference import equations as eq
from reference import feature_equations as fe
from reference.given import LABELS, Array, check, distilled, given, objective, values

PAIRS = tuple(Pair(student=f"layers.{layer}", teacher=f"layers.{layer}") for layer in (0, 1, 2))
STUDENT = [(2, 3, 2), (3, 4, 4), (2, 2, 4)]
TEACHER = [
    (4, 3, 2),
    (2, 2, 4),
    (3, 4, 2),
]  # of one size, smaller, larger on one side only


@pytest.mark.parametrize(
    ("power", "weight", "hard_weight"), [(2.0, 1000.0, 1.0), (1.0, 50.0, 0.0), (3.0, 7.0, 0.2), (1.5, 1.0, 0.0)]
)
def test_attention_equals_the_equation(power: float, weight: float, hard_weight: float) -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    method = AttentionTransfer(taps=PAIRS, power=power, weight=weight, hard_weight=hard_weight)
    found = distilled(method, student, teacher)
    looks = values(teacher)

    def expected(v0: Array, v1: Array, v2: Array, *logits: Array) -> float:
        losses = [fe.attention_loss(own, other, power) for own, other in zip((v0, v1, v2), looks, strict=True)]
        label = hard_weight * eq.hard_term(logits[0], LABELS).mean() if logits else 0.0
        return label + weight * sum(losses)

    check(objective(found), [*student.features, *([student.logits] if hard_weight else [])], expected)
