"""The distribution that is closest to several opinions: closed forms, optimality, and SciPy's own minimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from scipy.optimize import minimize
from torch import Tensor

from limbeck.losses import pooled


def opinions(rows: int, classes: int, members: int, *, seed: int = 0, spread: float = 2.0) -> tuple[Tensor, ...]:
    """A full opinion and `members` partial ones: the sum of their explicit probabilities, their rests, the others."""
    draw = torch.Generator().manual_seed(seed)
    mass = (spread * torch.randn(rows, classes, generator=draw, dtype=torch.float64)).softmax(-1)
    outside = torch.rand(members, classes, generator=draw) < 0.6
    outside[:, 0], outside[:, 1] = True, False
    rest = torch.zeros(rows, members, dtype=torch.float64)
    for m in range(members):
        inside = (~outside[m]).nonzero()[:, 0]
        p = (spread * torch.randn(rows, len(inside) + 1, generator=draw, dtype=torch.float64)).softmax(-1)
        mass[:, inside] += p[:, :-1]
        rest[:, m] = p[:, -1]
    return mass.log(), rest, outside


def objective(log_q: Tensor, log_mass: Tensor, rest: Tensor, outside: Tensor) -> Tensor:
    others = (log_q.exp() @ outside.T.to(log_q.dtype)).log()
    return -(log_mass.exp() * log_q).sum(-1) - (rest * others).sum(-1)


def gradient(log_q: Tensor, *given: Tensor) -> Tensor:
    """Of the objective with respect to u in q = softmax(u)."""
    u = log_q.detach().requires_grad_()
    (slope,) = torch.autograd.grad(objective(u.log_softmax(-1), *given).sum(), u)
    return slope


def test_opinions_on_all_classes_give_their_arithmetic_mean() -> None:
    draw = torch.Generator().manual_seed(1)
    p = torch.randn(3, 4, 7, generator=draw, dtype=torch.float64).softmax(-1)
    log_q = pooled(p.sum(0).log(), torch.zeros(4, 3, dtype=torch.float64), torch.zeros(3, 7, dtype=torch.bool))
    torch.testing.assert_close(log_q.exp(), p.mean(0))


def test_without_partial_opinions_nothing_changes() -> None:
    log_p = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    none = torch.zeros(4, 0, dtype=torch.float64), torch.zeros(0, 5, dtype=torch.bool)
    torch.testing.assert_close(pooled(log_p, *none), log_p)


def test_one_partial_opinion_has_a_closed_form() -> None:
    """The others get half of both opinions' probability of them, in the full opinion's proportions."""
    p, special = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).double(), torch.tensor([[0.5, 0.2, 0.3]]).double()
    mass = p + torch.tensor([[0.5, 0.2, 0.0, 0.0]]).double()
    log_q = pooled(mass.log(), special[:, 2:], torch.tensor([[False, False, True, True]]))
    expected = torch.tensor([[0.6 / 2, 0.4 / 2, 3 / 7 * (0.7 + 0.3) / 2, 4 / 7 * (0.7 + 0.3) / 2]]).double()
    torch.testing.assert_close(log_q.exp(), expected)


@pytest.mark.parametrize("spread", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("members", [1, 2, 6])
def test_the_gradient_vanishes_and_the_sum_is_one(members: int, spread: float) -> None:
    given = opinions(16, 12, members, seed=members, spread=spread)
    log_q = pooled(*given)
    torch.testing.assert_close(log_q.exp().sum(-1), torch.ones(16, dtype=torch.float64), atol=1e-10, rtol=0)
    assert gradient(log_q, *given).abs().max() < 1e-9
    # it would not vanish elsewhere
    assert gradient(given[0].log_softmax(-1), *given).abs().max() > 1e-3


def test_scipy_finds_the_same() -> None:
    given = opinions(5, 8, 3, seed=4)
    log_q = pooled(*given)
    for row in range(5):
        own = given[0][row : row + 1], given[1][row : row + 1], given[2]

        def value(u: np.ndarray, own: tuple[Tensor, ...] = own) -> float:
            return float(objective(torch.from_numpy(u)[None].log_softmax(-1), *own))

        def slope(u: np.ndarray, own: tuple[Tensor, ...] = own) -> np.ndarray:
            return gradient(torch.from_numpy(u)[None], *own)[0].numpy()

        found = minimize(value, np.zeros(8), jac=slope, method="BFGS", options={"gtol": 1e-10})
        torch.testing.assert_close(log_q[row].exp(), torch.from_numpy(found.x).softmax(-1), atol=1e-6, rtol=0)
        assert float(objective(log_q[row : row + 1], *own)) <= found.fun + 1e-12


def test_a_row_does_not_depend_on_the_others_and_opinions_that_are_not_asked_do_not_count() -> None:
    log_mass, rest, outside = opinions(6, 10, 4, seed=5)
    rest[::2, 1] = 0.0
    rest[3] = 0.0
    whole = pooled(log_mass, rest, outside)
    for row in range(6):
        asked = rest[row] > 0
        alone = pooled(log_mass[row : row + 1], rest[row : row + 1, asked], outside[asked])
        torch.testing.assert_close(whole[row : row + 1], alone, atol=1e-9, rtol=0)


def test_hopeless_classes_and_certain_dissent_stay_finite() -> None:
    """In float32: a class with probability exp(-200), and a specialist who contradicts a generalist who is sure."""
    log_p, log_special = torch.tensor([[0.0, -200.0, -20.0]]).log_softmax(-1), torch.tensor([[0.001, 0, 0]]).log()
    log_q = pooled(torch.logaddexp(log_p, log_special), torch.tensor([[0.999]]), torch.tensor([[False, True, True]]))
    assert log_q.dtype == torch.float32
    assert bool(log_q.isfinite().all())
    torch.testing.assert_close(log_q.exp()[0, 2], torch.tensor(0.999 / 2), atol=1e-5, rtol=0)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises((ValueError, TypeCheckError)):
        pooled(torch.zeros(2, 3), torch.zeros(2, 1), torch.zeros(2, 3, dtype=torch.bool))


def test_an_opinion_about_no_others_cannot_have_a_rest() -> None:
    with pytest.raises(ValueError, match="at least one class among the others"):
        pooled(torch.zeros(2, 3), torch.ones(2, 1), torch.zeros(1, 3, dtype=torch.bool))
