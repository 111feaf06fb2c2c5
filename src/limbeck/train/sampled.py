"""Classes drawn from a teacher's distribution in the place of the distribution: what they lose is noise, not bias.

Anshumann, Zaidi, Kedia, Ahn, Kwon, Lee, Lee, Lee, "Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs",
ACL 2025, arXiv:2503.16870.

    p  = softmax(v / T)                       [*n c]   the teacher at the temperature at which it teaches
    p̂_i = (number of draws of class i) / N    [*n c]   from N draws with replacement;  E[p̂] = p

KL(p̂ ‖ q) is linear in p̂ but for the entropy of p̂, which the student cannot change: its gradient by the student's
logits, (q - p̂) / T, has the gradient of KL(p ‖ q) as its expectation. The value that is logged is larger, by
H(p) - E[H(p̂)]. None of this holds at another temperature, for KL(q ‖ p), for differences of logits, or for anything
else that is not linear in p: such methods must not be given samples.

Differs from the paper: draw j is uniform in the j-th of N equal strata of the cumulated distribution instead of in the
whole of it. Its N draws together expect the same counts, with less variance: a class of probability p_i is met at least
⌊N p_i⌋ - 1 times. Proposals other than p itself are not offered, because their weights do not sum to one and p̂ would
have to be normalised, which is a bias again.

A draw is a pure function of (view, sample id, draw) and of p. So a student that meets a view again meets the same
draws again: their noise averages out over samples and views, not over epochs. It is the larger the flatter p is, and T²
scales it with the loss: where a sharp teacher at T = 1 is well told by a handful of draws, T = 4 asks for many.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from limbeck.data.randomness import DRAWS, random_bits

NEVER = -200.0
"""The log-probability of a class that was not drawn: zero as a float32 probability; with -inf, 0 · -inf is NaN."""

_INT16 = torch.iinfo(torch.int16).max


def drawn(
    logits: Float[Tensor, "n *rows c"], ids: Int64[Tensor, " n"], *, view: int, draws: int, temperature: float
) -> Int[Tensor, "n *rows draws"]:
    """Classes drawn from softmax(logits / T), in the smallest type that holds them.

    Args:
        logits: finite.
        ids: of the samples.
        view: of the samples.
        draws: N, how many of each row.
        temperature: T > 0.
    """
    edges = (logits.double() / temperature).softmax(-1).cumsum(-1)
    rows = math.prod(logits.shape[1:-1])
    bits = random_bits(ids, seed=0, purpose=DRAWS, epoch=view, draws=rows * draws).view(*logits.shape[:-1], draws)
    within = ((bits >> 11) & ((1 << 53) - 1)).double() / (1 << 53)
    strata = torch.arange(draws, device=logits.device)
    places = (strata + within) / draws * edges[..., -1:]
    # the first class whose edge lies above the place: one without probability has no place of its own
    classes = torch.searchsorted(edges, places, right=True).clamp(max=logits.shape[-1] - 1)
    return classes.to(torch.int16 if logits.shape[-1] <= _INT16 + 1 else torch.int32)


def from_draws(drawn: Int[Tensor, "*n draws"], *, classes: int, temperature: float) -> Float[Tensor, "*n c"]:
    """Logits whose softmax at this temperature is the share of each class among the draws.

    Args:
        drawn: classes, as from `drawn`.
        classes: c.
        temperature: T, at which they were drawn.
    """
    share = torch.full(drawn.shape, 1 / drawn.shape[-1], device=drawn.device)
    counted = torch.zeros(*drawn.shape[:-1], classes, device=drawn.device).scatter_add_(-1, drawn.long(), share)
    return temperature * counted.log().clamp_min(NEVER)
