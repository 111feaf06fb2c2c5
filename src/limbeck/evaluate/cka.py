"""Which layers of two networks see the same: linear centred kernel alignment.

S. Kornblith, M. Norouzi, H. Lee, G. Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019,
arXiv:1905.00414, section 3: with features X [n p], Y [n q] of n examples, their Gram matrices K = X Xᵀ, L = Y Yᵀ, and
both centred,

    CKA = Σ K ∘ L / sqrt(Σ K ∘ K · Σ L ∘ L)

which is 1 for features that are a rotation and a scaling of each other, and near 0 for unrelated ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.net import Kind, Net
from limbeck.core.outline import Unit


def linear_cka(one: Float[Tensor, "n ..."], other: Float[Tensor, "n ..."]) -> float:
    """The alignment of two layers' features on the same examples, between 0 and 1.

    Args:
        one: features, of any shape behind the examples.
        other: features of the same examples.

    Raises:
        ValueError: they are of different numbers of examples.
    """
    if len(one) != len(other):
        raise ValueError(f"expected features of the same examples, got {len(one)} and {len(other)}")
    return _alignment(_gram(one), _gram(other))


def alignments(
    student: tuple[nn.Module, Sequence[Unit]], teacher: tuple[nn.Module, Sequence[Unit]], batches: Iterable[Any]
) -> Float[Tensor, "s t"]:
    """The alignment of every unit of one network with every unit of another.

    Args:
        student: a network and its units.
        teacher: the same.
        batches: images come first; a few hundred examples are enough. Each counts the same, and few examples make any
            two layers look alike, so a small last batch is better left out.
    """
    found = []
    for batch in batches:
        # A Gram matrix of all examples would need the features of all; the mean over batches does not.
        rows, columns = _grams(*student, batch), _grams(*teacher, batch)
        found.append(torch.tensor([[_alignment(row, column) for column in columns] for row in rows]))
    return torch.stack(found).mean(0)


def most_alike(alignment: Float[Tensor, "s t"]) -> list[int]:
    """For each row a column, so that columns never go back and the sum is as large as possible.

    Args:
        alignment: rows and columns in the order of their networks.

    Example:
        >>> most_alike(torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.3, 0.4]]))
        [0, 0]
    """
    best = alignment[:1].cummax(1).values.tolist()[0]
    came: list[list[int]] = [_running_argmax(alignment[0].tolist())]
    for row in alignment[1:].tolist():
        total = [value + before for value, before in zip(row, best, strict=True)]
        came.append(_running_argmax(total))
        best = [total[index] for index in came[-1]]
    columns = [came[-1][-1]]
    for row in reversed(came[:-1]):
        columns.append(row[columns[-1]])
    return columns[::-1]


def _running_argmax(values: list[float]) -> list[int]:
    """For each place the place of the largest value up to it."""
    found: list[int] = []
    for index, value in enumerate(values):
        found.append(index if not found or value > values[found[-1]] else found[-1])
    return found


def _grams(model: nn.Module, units: Sequence[Unit], batch: Any) -> list[Float[Tensor, "n n"]]:
    net = Net(model, lambda network, images: network(images[0]), taps=[unit.path for unit in units], kind=Kind.FROZEN)
    try:
        seen = net(batch).taps
        return [_gram(seen[unit.path]) for unit in units]
    finally:
        net.close()


def _gram(features: Float[Tensor, "n ..."]) -> Float[Tensor, "n n"]:
    """The centred Gram matrix, in float64: it is a difference of large numbers."""
    flat = features.flatten(1).double()
    flat = flat - flat.mean(0)
    return flat @ flat.T


def _alignment(one: Float[Tensor, "n n"], other: Float[Tensor, "n n"]) -> float:
    lengths = one.norm() * other.norm()
    return float((one * other).sum() / lengths.clamp_min(1e-30))
