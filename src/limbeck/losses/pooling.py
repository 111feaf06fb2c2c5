"""One distribution over all classes from several opinions that divide the classes more or less finely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

_STEPS = 60
_LEAST = 1e-15
_ENOUGH = 1e-12
_FASTEST = 0.01
_INSIDE = 0.95


def pooled(
    log_mass: Float[Tensor, "b c"], rest: Float[Tensor, "b m"], outside: Bool[Tensor, "m c"]
) -> Float[Tensor, "b c"]:
    """The logarithm of the distribution that is closest to all opinions: q = argmin_q Σ_k KL(p_k ‖ q).

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 5, Eq. 5. An
    opinion p_k gives some classes a probability each and all others together one number; it is compared with q after
    q's probabilities of these others were added up. With a_i the sum of the probabilities that class i got for itself,
    and d_m what the m-th opinion gives to its others O_m together, the objective is, up to a constant,

        F(q) = - Σ_i a_i log q_i - Σ_m d_m log Q_m,      Q_m = Σ_{j ∈ O_m} q_j,      q_i > 0, Σ_i q_i = 1.

    F is convex in q. At its minimum, with N = Σ_i a_i + Σ_m d_m (the number of opinions) and one number r_m for each
    opinion that has others,

        q_i w_i = a_i,      r_m Q_m = d_m,      w_i = N - Σ_{m: i ∈ O_m} r_m.

    Without any d nothing is left to find, and q = a / N is the arithmetic mean of the opinions. Otherwise Newton's
    method solves these equations for q and r together, as interior-point methods do: from a point where all products
    are of ordinary size each step aims at no less than a hundredth of the present ones, and ends before anything
    becomes negative. Some ten steps find q to the last digit, however sure the opinions are of contradicting things.

    All is done in float64. A probability below 1e-15 counts as 1e-15: with less, w could be lost in the rounding of N.

    Args:
        log_mass: log a; some opinion must speak about all classes.
        rest: d, not negative; zero where an opinion is not asked.
        outside: O, whether a class is among an opinion's others.

    Raises:
        ValueError: the shapes do not fit together, or an opinion has a rest but no others.
    """
    if outside.shape != (rest.shape[1], log_mass.shape[1]) or len(rest) != len(log_mass):
        shapes = f"log_mass {tuple(log_mass.shape)}, rest {tuple(rest.shape)}, outside {tuple(outside.shape)}"
        raise ValueError(f"expected the shapes [b c], [b m] and [m c], got {shapes}")
    if bool((rest > 0).any(0).logical_and(~outside.any(-1)).any()):
        raise ValueError("expected at least one class among the others of an opinion that gives them a probability")
    most = int((rest > 0).sum(-1).max()) if rest.numel() else 0
    if not most:
        return log_mass.log_softmax(-1)
    d, which = rest.double().topk(most, dim=-1)  # those that were asked; they may differ from row to row
    asked = d > 0
    others = outside.double()[which] * asked[..., None]
    a, d = log_mass.double().exp().clamp_min(_LEAST), torch.where(asked, d.clamp_min(_LEAST), 1.0)
    w = _solved(a, d, others, (a.sum(-1) + (d * asked).sum(-1)).unsqueeze(-1))
    alone = ~asked.any(-1, keepdim=True)
    return torch.where(alone, log_mass.log_softmax(-1), (a.log() - w.log()).to(log_mass.dtype))


def _solved(
    a: Float64[Tensor, "b c"], d: Float64[Tensor, "b k"], others: Float64[Tensor, "b k c"], n: Float64[Tensor, "b 1"]
) -> Float64[Tensor, "b c"]:
    """The numbers w of the solution; k counts a row's opinions, padded with such as have no others (and d = 1)."""
    w = n - _over_opinions(d, others)  # r = d leaves every w at least as large as the sum of a
    q = torch.full_like(a, 1 / a.shape[-1])
    padding = 1 - others.amax(-1)
    point = _Point(q, w, d.clone(), _over_classes(q, others) + padding)
    for _ in range(_STEPS):
        if point.error(a, d) < _ENOUGH:
            break
        point = point.moved(_newton(point, a, d, others))
    return point.w


@dataclass(frozen=True)
class _Point:
    """A positive q and r with the w and Q that follow from them; or a step from one such point to another."""

    q: Float64[Tensor, "b c"]
    w: Float64[Tensor, "b c"]
    r: Float64[Tensor, "b k"]
    total: Float64[Tensor, "b k"]

    def error(self, a: Tensor, d: Tensor) -> float:
        """The largest relative error of a product."""
        return float(torch.cat([self.q * self.w / a - 1, self.r * self.total / d - 1], dim=-1).abs().max())

    def moved(self, step: _Point) -> _Point:
        """This point and the step, shortened where it would leave less than a twentieth of something."""
        pairs = [(getattr(self, name), getattr(step, name)) for name in ("q", "w", "r", "total")]
        limits = [torch.where(change < 0, -value / change, torch.inf).amin(-1) for value, change in pairs]
        length = (_INSIDE * torch.stack(limits).amin(0)).clamp_max(1.0).unsqueeze(-1)
        return _Point(*(value + length * change for value, change in pairs))


def _newton(point: _Point, a: Tensor, d: Tensor, others: Float64[Tensor, "b k c"]) -> _Point:
    """Newton's step towards products between the present and the wanted ones."""
    classes, opinions = point.q * point.w, point.r * point.total
    lacking = torch.maximum(a, _FASTEST * classes) - classes
    missing = torch.maximum(d, _FASTEST * opinions) - opinions
    weighted = others * (point.q / point.w)[:, None, :]
    matrix = weighted @ others.mT + torch.diag_embed(point.total / point.r)
    r = torch.linalg.solve(matrix, missing / point.r - _over_classes(lacking / point.w, others))
    w = -_over_opinions(r, others)
    q = (lacking - point.q * w) / point.w
    return _Point(q, w, r, _over_classes(q, others))


def _over_classes(values: Float64[Tensor, "b c"], others: Float64[Tensor, "b k c"]) -> Float64[Tensor, "b k"]:
    """Sums over each opinion's others."""
    return torch.einsum("bc,bkc->bk", values, others)


def _over_opinions(values: Float64[Tensor, "b k"], others: Float64[Tensor, "b k c"]) -> Float64[Tensor, "b c"]:
    """Sums, for each class, over the opinions that have it among their others."""
    return torch.einsum("bk,bkc->bc", values, others)
