"""`SimilarityPreserving.terms` equals the equations of Tung and Mori, value and gradient."""

from __future__ import annotations

import pytest

from limbeck.core.pairs import Pair
from limbeck.methods.similarity_preserving import SimilarityPreserving
from reference import equations as eq
from reference import feature_equations as fe
from reference.given import LABELS, Array, check, distilled, given, objective, values

PAIRS = tuple(Pair(student=f"layers.{layer}", teacher=f"layers.{layer}") for layer in (0, 1, 2))
STUDENT = [(2, 3, 2), (3, 4), (5,)]
TEACHER = [(3, 2, 2), (6,), (2, 2, 1)]  # a map against a map, tokens against a vector, a vector against a map


@pytest.mark.parametrize(("weight", "hard_weight"), [(3000.0, 1.0), (10.0, 0.0), (0.5, 0.2)])
def test_similarity_equals_the_equation(weight: float, hard_weight: float) -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    found = distilled(SimilarityPreserving(taps=PAIRS, weight=weight, hard_weight=hard_weight), student, teacher)
    alike = values(teacher)

    def expected(v0: Array, v1: Array, v2: Array, *logits: Array) -> float:
        losses = [fe.similarity_loss(own, other) for own, other in zip((v0, v1, v2), alike, strict=True)]
        label = hard_weight * eq.hard_term(logits[0], LABELS).mean() if logits else 0.0
        return label + weight * sum(losses)

    check(objective(found), [*student.features, *([student.logits] if hard_weight else [])], expected)
