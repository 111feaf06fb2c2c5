"""`BYOT`'s terms equal the equations of Zhang et al. (arXiv:1905.08094), value and gradient.

The student's features are given; its heads are replaced by ones whose features F and logits z are parameters, so that
each term can be differentiated by them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller
from limbeck.methods.byot import BYOT
from limbeck.tasks.classification import Classification
from reference import equations as eq
from reference.given import CLASSES, LABELS, Array, Given, batch, check, given

SHAPES = [(4, 4, 4), (5, 4, 2), (3, 2, 2)]
METHOD = BYOT(at=("layers.0", "layers.1"), deepest="layers.2", alpha=0.3, feature_weight=0.05, temperature=3.0)


class GivenHead(nn.Module):
    """F [b d] and z [b c] that stand there whatever the features are."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        self.feature = nn.Parameter(torch.from_numpy(random.standard_normal((len(LABELS), SHAPES[-1][0]))))
        self.logits = nn.Parameter(torch.from_numpy(2 * random.standard_normal((len(LABELS), CLASSES))))

    def forward(self, _features: Tensor) -> tuple[Tensor, Tensor]:
        return self.feature, self.logits


def problem(method: BYOT) -> tuple[Distiller, Given, list[GivenHead]]:
    student = given(SHAPES, seed=1)
    found = Distiller(method, Classification(), {"student": student}, batch()).double()
    heads = [GivenHead(2), GivenHead(3)]
    for number, head in enumerate(heads, start=1):
        found.adapters[f"exit{number}"] = head
    return found, student, heads


def objective(found: Distiller) -> Tensor:
    return torch.stack(list(found(batch()).values())).sum()


def loss(method: BYOT, end: Array, deepest: Array, z: list[Array], f: list[Array], scale: float = 1.0) -> float:
    """The objective in loops; z_C and F_C as they stand there, since no gradient passes to them from the heads."""
    total = 0.0
    pooled = np.array([[sum(channel.ravel()) / channel.size for channel in example] for example in deepest])
    for logits, feature in zip(z, f, strict=True):
        total += (1 - method.alpha) * eq.hard_term(logits, LABELS).mean()
        soft = eq.kl(eq.softened(end, method.temperature), eq.softened(logits, method.temperature))
        total += method.alpha * scale * soft.mean()
        squares = [sum(d * d for d in row) for row in feature - pooled]
        total += method.feature_weight * sum(squares) / len(squares)
    return total


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        ({}, 1.0),
        ({"scaled_by_t2": True}, 9.0),
        ({"alpha": 0.0, "feature_weight": 0.0}, 1.0),
        ({"alpha": 1.0, "temperature": 1.5, "feature_weight": 2.0}, 1.0),
    ],
)
def test_the_heads_learn_by_the_equations(change: dict[str, Any], scale: float) -> None:
    method = replace(METHOD, **change)
    found, student, heads = problem(method)
    end, deepest = student.logits.detach().numpy().copy(), student.features[2].detach().numpy().copy()
    label = eq.hard_term(end, LABELS).mean()

    def expected(*values: Array) -> float:
        z, f = list(values[:2]), list(values[2:] or [head.feature.detach().numpy() for head in heads])
        return label + loss(method, end, deepest, z, f, scale)

    tensors = [head.logits for head in heads]
    if method.feature_weight:
        tensors += [head.feature for head in heads]
    check(objective(found), tensors, expected)


def test_the_end_learns_from_the_labels_alone() -> None:
    found, student, heads = problem(METHOD)
    z = [head.logits.detach().numpy() for head in heads]
    f = [head.feature.detach().numpy() for head in heads]
    end, deepest = student.logits.detach().numpy().copy(), student.features[2].detach().numpy().copy()
    rest = loss(METHOD, end, deepest, z, f)
    check(objective(found), [student.logits], lambda logits: eq.hard_term(logits, LABELS).mean() + rest)
    (gradient,) = torch.autograd.grad(objective(found), student.features[2], allow_unused=True)
    assert gradient is None


def test_each_term_alone_has_its_name() -> None:
    found, student, heads = problem(METHOD)
    terms = found(batch())
    assert list(terms) == ["task", *(f"exit{n}/{term}" for n in (1, 2) for term in ("labels", "soft", "feature"))]
    z = heads[1].logits.detach().numpy()
    assert terms["exit2/labels"].item() == pytest.approx(0.7 * eq.hard_term(z, LABELS).mean(), rel=1e-12)
    soft = eq.kl(eq.softened(student.logits.detach().numpy(), 3.0), eq.softened(z, 3.0)).mean()
    assert terms["exit2/soft"].item() == pytest.approx(0.3 * soft, rel=1e-12)
