"""Choosing samples: stratified by class, the same ones for ever, and nested where the classes are of equal size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int64
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.data.randomness import EPOCH_SHARE, SPLIT, shuffled


def amount_of(amount: float, *, total: int, key: str) -> int:
    """A count from a count or a share.

    Args:
        amount: an int counts samples; a float is a share in [0, 1].
        total: how many samples there are.
        key: the recipe's key, for messages.

    Raises:
        DataError: more than there is, or negative.
    """
    count = amount if isinstance(amount, int) else round(amount * total)
    if not 0 <= count <= total or (isinstance(amount, float) and amount > 1):
        raise DataError(
            f"{key}: {amount} of {total} images is not possible; a whole number counts images, a number with a point "
            "between 0.0 and 1.0 is a share"
        )
    return count


def stratified(labels: Int64[Tensor, " n"], ids: Int64[Tensor, " n"], *, count: int, seed: int) -> Int64[Tensor, " k"]:
    """The positions, ascending, of `count` samples with the classes in the proportions of the whole.

    Each class gives its proportional number, rounded down; the places left go to the largest remainders, the smaller
    label first. Unlabelled samples count as a class of their own.

    Args:
        labels: class numbers.
        ids: decide, hashed with the seed, which samples of a class come first.
        count: how many, 0 … n.
        seed: fixed by the caller; other seeds choose other samples.
    """
    if not count:
        return torch.empty(0, dtype=torch.int64)
    order = shuffled(ids, seed=seed, purpose=SPLIT)
    kinds, which, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    # integers, so that no rounding error decides who gets the last place
    quota, remainder = sizes * count // len(labels), sizes * count % len(labels)
    left = count - int(quota.sum())
    quota[torch.argsort(remainder, descending=True, stable=True)[:left]] += 1
    ranked = which[order]
    chosen = [order[ranked == kind][: int(quota[kind])] for kind in range(len(kinds))]
    return torch.cat(chosen).sort().values


def drawn(
    labels: Int64[Tensor, " n"], ids: Int64[Tensor, " n"], *, at_most: Mapping[int, int], seed: int, epoch: int
) -> Int64[Tensor, " k"]:
    """The positions, ascending, of all samples, but of some classes only so many, drawn at random for each epoch.

    Args:
        labels: class numbers.
        ids: decide, hashed with seed and epoch, which samples of such a class are drawn.
        at_most: class number -> how many.
        seed: of the draw.
        epoch: counted from 0.
    """
    kept = torch.ones_like(labels, dtype=torch.bool)
    order = shuffled(ids, seed=seed, purpose=EPOCH_SHARE, epoch=epoch) if at_most else ids
    for label, count in at_most.items():
        kept[order[labels[order] == label][count:]] = False
    return kept.nonzero()[:, 0]


def others(chosen: Int64[Tensor, " k"], *, total: int) -> Int64[Tensor, " m"]:
    """The positions 0 … total - 1 that were not chosen, ascending."""
    left = torch.ones(total, dtype=torch.bool)
    left[chosen] = False
    return left.nonzero()[:, 0]
