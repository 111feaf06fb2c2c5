"""Divergences between the student's and the teacher's class distributions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from limbeck.losses.precision import wide


def soft_target_kl(
    student: Float[Tensor, "*n c"],
    teacher: Float[Tensor, "*n c"],
    *,
    temperature: float,
    reduction: Literal["mean", "none"] = "mean",
) -> Tensor:
    """T² · KL(p ‖ q), with p = softmax(teacher / T) and q = softmax(student / T).

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2: the soft
    gradients scale as 1/T², so the factor T² keeps their weight against a hard term when T changes. The sum runs over
    classes; the mean over rows, never over classes (which would shrink the loss by their number). The teacher takes no
    gradient. Logits in half precision are taken to float32 first: at a high temperature their differences would drown.

    Args:
        student: logits.
        teacher: logits of the same shape.
        temperature: T > 0.
        reduction: "mean" over rows, or "none" for one value per row [*n].

    Raises:
        ValueError: the temperature is not positive and finite, or the shapes differ.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
        >>> float(soft_target_kl(logits, logits, temperature=4.0))
        0.0
    """
    rows = softened_kl(student, teacher, temperature=temperature) * temperature**2
    return rows if reduction == "none" else rows.mean()


def softened_kl(
    student: Float[Tensor, "*n c"], teacher: Float[Tensor, "*n c"], *, temperature: float
) -> Float[Tensor, "*n"]:
    """KL(p ‖ q) of each row, with p and q as in `soft_target_kl`, but without the factor T².

    Args:
        student: logits.
        teacher: logits of the same shape; they take no gradient.
        temperature: T > 0.

    Raises:
        ValueError: the temperature is not positive and finite, or the shapes differ.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: expected more than 0 and finite, got {temperature}")
    if student.shape != teacher.shape:
        raise ValueError(
            f"expected logits of one shape, got student {tuple(student.shape)}, teacher {tuple(teacher.shape)}"
        )
    log_q = (wide(student) / temperature).log_softmax(-1)
    log_p = (wide(teacher.detach()) / temperature).log_softmax(-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def logit_matching(
    student: Float[Tensor, "*n c"], teacher: Float[Tensor, "*n c"], *, reduction: Literal["mean", "none"] = "mean"
) -> Tensor:
    """½ · mean over classes of the squared difference of centred logits: the limit of `soft_target_kl` as T grows.

    arXiv:1503.02531, section 2.1. Centring matters: adding a constant to all logits of a row changes no distribution.

    Args:
        student: logits.
        teacher: logits of the same shape.
        reduction: "mean" over rows, or "none" for one value per row [*n].
    """
    difference = wide(student) - wide(teacher.detach())
    centred = difference - difference.mean(-1, keepdim=True)
    rows = centred.square().mean(-1) / 2
    return rows if reduction == "none" else rows.mean()


def mean_distribution(
    logits: list[Float[Tensor, "*n c"]], *, temperature: float = 1.0, mean: Literal["arithmetic", "geometric"]
) -> Float[Tensor, "*n c"]:
    """Logits of the mean of several networks' distributions, softened at one temperature.

    arXiv:1503.02531, section 2: an ensemble teaches through the arithmetic or the geometric mean of its members'
    distributions. softmax(result / T) is that mean at T; the two are different teachers.

    Args:
        logits: one tensor per network.
        temperature: T, at which the result will be used.
        mean: "geometric" is the mean of logits; "arithmetic" the logarithm of the mean of softmaxes, times T.
    """
    stacked = wide(torch.stack(list(logits)))
    if mean == "geometric":
        return stacked.mean(0)
    log_p = (stacked / temperature).log_softmax(-1)
    return temperature * (torch.logsumexp(log_p, 0) - math.log(len(stacked)))


def with_others_permuted(logits: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Each row with its largest entry in its place and the others in a random order of their own.

    Furlanello et al., "Born-Again Neural Networks", arXiv:1805.04770: dark knowledge with permuted predictions. Drawn
    from torch's generator, row by row; permuted logits are permuted probabilities.
    """
    largest = logits.argmax(-1, keepdim=True)
    keys = torch.rand(logits.shape, device=logits.device)
    order = keys.scatter(-1, largest, -1.0).argsort(-1)  # the largest entry first, then the others at random
    places = torch.ones_like(logits).scatter(-1, largest, 0.0).argsort(dim=-1, stable=True)  # the same, in their order
    return torch.empty_like(logits).scatter(-1, places, logits.gather(-1, order))


def entropy(logits: Float[Tensor, "*n c"]) -> Float[Tensor, "*n"]:
    """-Σ p log p of each row, in nats, with p = softmax(logits)."""
    log_p = wide(logits).log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)
