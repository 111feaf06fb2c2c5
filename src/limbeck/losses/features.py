"""Losses between features: hints, flows, attention and similarity."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from limbeck.losses.precision import in_full, wide

Reduction = Literal["mean", "none"]


def hint_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], *, reduction: Reduction = "mean"
) -> Tensor:
    """½ · ‖student - teacher‖² at each place of the map: the sum over channels, the mean over places and examples.

    Romero et al., "FitNets: Hints for Thin Deep Nets", arXiv:1412.6550, Eq. 3. The paper writes the squared norm of the
    whole map; its authors' code takes the mean over places, which is done here: a weight then means the same whatever
    the size of the map.

    Args:
        student: features, after a regressor where the numbers of channels differ.
        teacher: features of the same shape; they take no gradient.
        reduction: "mean" over examples, or "none" for one value per example [b].

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> float(hint_loss(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)))
        1.5
    """
    _check_same(student, teacher)
    rows = (wide(student) - wide(teacher.detach())).square().sum(1).mean((1, 2)) / 2
    return rows if reduction == "none" else rows.mean()


def squared_distance(
    student: Float[Tensor, "b d"], teacher: Float[Tensor, "b d"], *, reduction: Reduction = "mean"
) -> Tensor:
    """‖student - teacher‖²: the sum over the feature, the mean over examples.

    Zhang et al., "Be Your Own Teacher", ICCV 2019, arXiv:1905.08094, section 3, the loss of hints.

    Args:
        student: one vector per example.
        teacher: vectors of the same length; they take no gradient.
        reduction: "mean" over examples, or "none" for one value per example [b].

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> float(squared_distance(torch.ones(2, 3), torch.zeros(2, 3)))
        3.0
    """
    _check_same(student, teacher)
    rows = (wide(student) - wide(teacher.detach())).square().sum(1)
    return rows if reduction == "none" else rows.mean()


def flow(first: Float[Tensor, "b m h w"], last: Float[Tensor, "b n i j"]) -> Float[Tensor, "b m n"]:
    """The flow between two layers: G[i, j] = Σ_{s,t} first[i, s, t] · last[j, s, t] / (h · w).

    Yim et al., "A Gift from Knowledge Distillation", CVPR 2017, Eq. 1, the FSP matrix. Of maps of different sizes the
    larger one is brought to the smaller size by max pooling.

    Args:
        first: features of the earlier layer.
        last: features of the later layer.

    Example:
        >>> flow(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 2, 2)).shape
        torch.Size([1, 2, 3])
    """
    first, last = wide(first), wide(last)
    size = min(first.shape[2], last.shape[2]), min(first.shape[3], last.shape[3])
    first, last = (x if tuple(x.shape[2:]) == size else F.adaptive_max_pool2d(x, size) for x in (first, last))
    with in_full(first):
        return torch.einsum("bmhw,bnhw->bmn", first, last) / (size[0] * size[1])


def flow_loss(
    student: Float[Tensor, "b m n"], teacher: Float[Tensor, "b m n"], *, reduction: Reduction = "mean"
) -> Tensor:
    """‖student - teacher‖²_F: the sum over the entries of a flow matrix, the mean over examples.

    Yim et al., CVPR 2017, Eq. 2, for one pair of matrices.

    Args:
        student: flow matrices, see `flow`.
        teacher: flow matrices of the same shape; they take no gradient.
        reduction: "mean" over examples, or "none" for one value per example [b].

    Raises:
        ValueError: the shapes differ.
    """
    _check_same(student, teacher)
    rows = (wide(student) - wide(teacher.detach())).square().sum((1, 2))
    return rows if reduction == "none" else rows.mean()


def attention(features: Float[Tensor, "b c h w"], *, power: float = 2.0) -> Float[Tensor, "b p"]:
    """Where a layer looks: Σ_c |A_c|^p over the places of the map, normalised to length 1.

    Zagoruyko, Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928, section 3.1.

    Args:
        features: of one layer.
        power: p ≥ 1.
    """
    return F.normalize(wide(features).abs().pow(power).sum(1).flatten(1), dim=1)


def attention_loss(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b d h w"],
    *,
    power: float = 2.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """The squared difference of normalised attention maps: the mean over places and examples.

    arXiv:1612.03928, Eq. 2, in the form of its authors' code: the paper writes the norm itself, not its square, and no
    mean over places. Numbers of channels may differ.

    Args:
        student: features.
        teacher: features of the same map size; they take no gradient.
        power: p.
        reduction: "mean" over examples, or "none" for one value per example [b].

    Raises:
        ValueError: the map sizes differ.
    """
    if student.shape[0] != teacher.shape[0] or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(f"expected maps of one size, got {_sizes(student, teacher)}")
    own, other = attention(student, power=power), attention(teacher.detach(), power=power)
    rows = (own - other).square().mean(1)
    return rows if reduction == "none" else rows.mean()


def similarity(features: Float[Tensor, "b ..."]) -> Float[Tensor, "b b"]:
    """How much the examples of a batch resemble each other in one layer: A · Aᵀ with rows normalised to length 1.

    Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv:1907.09682, Eqs. 1 and 2.

    Args:
        features: of one layer, of any shape behind the batch.
    """
    flat = wide(features).flatten(1)
    with in_full(flat):
        return F.normalize(flat @ flat.T, dim=1)


def similarity_loss(student: Float[Tensor, "b ..."], teacher: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
    """‖G_S - G_T‖²_F / b², with G the similarity of the batch's examples.

    arXiv:1907.09682, Eq. 4. It is a property of the batch, so it has no value per example, and its size depends on b.

    Args:
        student: features.
        teacher: features of the same examples, of any shape; they take no gradient.

    Raises:
        ValueError: the numbers of examples differ.
    """
    if student.shape[0] != teacher.shape[0]:
        raise ValueError(f"expected the same examples, got {_sizes(student, teacher)}")
    return (similarity(student) - similarity(teacher.detach())).square().mean()


def _check_same(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(f"expected one shape, got {_sizes(student, teacher)}")


def _sizes(student: Tensor, teacher: Tensor) -> str:
    return f"student {tuple(student.shape)}, teacher {tuple(teacher.shape)}"
