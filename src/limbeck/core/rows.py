"""Rows of categorical distributions, and the one reduction over them.

A logit method asks only for rows: one per image, per valid pixel, per valid token, per anchor. With `Factored` logits
(hidden states and an output matrix) `over_rows` works in blocks of a byte budget and forms the gradient already in the
forward pass, block by block, so that the matrix tokens × vocabulary never exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from limbeck.losses.precision import wide


@dataclass(frozen=True)
class Factored:
    """Logits that are never stored: `hidden @ weight.T + bias`.

    Args:
        hidden: [n d].
        weight: [c d], as of `nn.Linear(d, c)`.
        bias: [c].
    """

    hidden: Float[Tensor, "n d"]
    weight: Float[Tensor, "c d"]
    bias: Float[Tensor, " c"] | None = None

    def block(self, rows: slice) -> Tensor:
        """The logits [m c] of some rows."""
        return F.linear(self.hidden[rows], self.weight, self.bias)


@dataclass(frozen=True)
class Rows:
    """Categorical distributions of one network on one batch.

    Args:
        logits: [n c].
        targets: class indices [n] (-100 = unlabelled) or distributions [n c]; absent if there are none.
        weights: [n], not negative; absent = ones.
    """

    logits: Tensor | Factored
    targets: Tensor | None = None
    weights: Float[Tensor, " n"] | None = None


RowLoss = Callable[[Any, Any, Any], Tensor]
"""(student logits [m c], teacher logits [m c] or None, targets or None) -> one value per row [m]."""


def over_rows(
    terms: Mapping[str, RowLoss], student: Rows, teacher: Rows | None = None, *, block_bytes: int = 2**26
) -> dict[str, Tensor]:
    """The weighted mean over rows of each term, in float32 at least.

    The student's targets and weights are used. Row functions receive logits in float32 at least (half precision would
    underflow in a softmax). With factored student logits all terms share one gradient: weights between terms go inside
    the row functions, and the caller scales only their sum.

    Args:
        terms: name -> row function.
        student: the rows that receive the gradient.
        teacher: rows of the same distributions, without gradient.
        block_bytes: for factored logits, the size that a block's logits may take.
    """
    logits, other = student.logits, None if teacher is None else teacher.logits
    hidden = logits.hidden if isinstance(logits, Factored) else logits
    if isinstance(logits, Factored):
        weights = _normalised(student.weights, hidden)
        rows = max(1, block_bytes // (16 * len(logits.weight)))
        values = _Blocked.apply(terms, rows, other, student.targets, weights, logits.hidden, logits.weight, logits.bias)
        return dict(zip(terms, values, strict=True))
    own, others = wide(logits), _teacher_block(other)
    values = {name: term(own, others, student.targets) for name, term in terms.items()}
    if student.weights is None:  # the usual case, without a tensor of equal weights
        return {name: value.mean() if value.shape[0] else value.sum() for name, value in values.items()}
    weights = _normalised(student.weights, hidden)
    return {name: (value * weights).sum() for name, value in values.items()}


def _normalised(weights: Tensor | None, like: Tensor) -> Tensor:
    """Weights that sum to one (all zero when there are no rows, or none that counts)."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    if weights is None:
        return torch.full((len(like),), 1 / max(len(like), 1), dtype=dtype, device=like.device)
    weights = weights.to(dtype)
    return weights / weights.sum().clamp_min(1e-12)


def _teacher_block(logits: Tensor | Factored | None, rows: slice | None = None) -> Tensor | None:
    """Some rows, or all, without gradient."""
    if logits is None:
        return None
    if isinstance(logits, Factored):
        with torch.no_grad():
            return wide(logits.block(rows or slice(None)))
    return wide((logits if rows is None else logits[rows]).detach())


class _Blocked(torch.autograd.Function):
    """Values of all terms and the gradient of their *sum*, block by block, in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        terms: Mapping[str, RowLoss],
        rows: int,
        teacher: Tensor | Factored | None,
        targets: Tensor | None,
        weights: Tensor,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> tuple[Tensor, ...]:
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        inputs = (hidden, weight, bias)
        # The weight's gradient sums over all rows: accumulate it in float32 whatever the weight's own type.
        grads = [None if x is None or not x.requires_grad else torch.zeros_like(x, dtype=dtype) for x in inputs]
        values = hidden.new_zeros(len(terms), dtype=dtype)
        for start in range(0, len(hidden), rows):
            block = slice(start, start + rows)
            logits = F.linear(hidden[block], weight, bias).to(dtype).detach().requires_grad_()
            other, target = _teacher_block(teacher, block), None if targets is None else targets[block]
            with torch.enable_grad():
                parts = [(term(logits, other, target) * weights[block]).sum() for term in terms.values()]
                (slope,) = torch.autograd.grad(torch.stack(parts).sum(), logits)
            values += torch.stack([part.detach() for part in parts])
            if grads[0] is not None:
                grads[0][block] = slope @ weight.to(dtype)
            if grads[1] is not None:
                grads[1] += slope.T @ hidden[block].to(dtype)
            if grads[2] is not None:
                grads[2] += slope.sum(0)
        ctx.present = [grad is not None for grad in grads]
        ctx.dtypes = [None if x is None else x.dtype for x in inputs]
        ctx.save_for_backward(*[grad for grad in grads if grad is not None])
        return tuple(values.unbind())

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Any, ...]:
        for other in outer[1:]:
            torch._assert_async(
                other == outer[0], "terms from over_rows share one gradient: weight them inside the row functions"
            )
        saved = iter(ctx.saved_tensors)
        found = [
            (next(saved) * outer[0]).to(dtype) if present else None
            for present, dtype in zip(ctx.present, ctx.dtypes, strict=True)
        ]
        return (None,) * 5 + tuple(found)
