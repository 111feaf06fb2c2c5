"""At which exit samples leave, what that costs, and which thresholds are worth it: functions of what the heads say.

An exit's threshold is the least probability of the most probable class at which a sample leaves there. A low one saves
work, a high one mistakes. Exits are numbered from shallow to deep; the number after the last exit is the network's end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from limbeck.core.errors import MethodError
from limbeck.losses.precision import wide

NEVER = math.inf
"""The threshold of an exit that is closed: its head is not even computed."""
_QUANTILES = 64
_DIGITS = 4
_SURE = 1 - 10**-_DIGITS
_SLACK = 1e-9


@dataclass(frozen=True)
class Costs:
    """Operations, of one sample or of any fixed number of them.

    Args:
        trunk: of the network up to each exit, and of all of it.
        heads: of each exit's head.
    """

    trunk: tuple[float, ...]
    heads: tuple[float, ...]

    def leaving(self, thresholds: Sequence[float]) -> list[float]:
        """What a sample costs that leaves at each exit, or at the end: with all open heads on its way."""
        paid, costs = 0.0, []
        for own, head, threshold in zip(self.trunk, (*self.heads, 0.0), (*thresholds, NEVER), strict=True):
            paid += head if threshold < NEVER else 0.0
            costs.append(own + paid)
        return costs


@dataclass(frozen=True)
class Point:
    """What thresholds come to on some samples.

    Args:
        thresholds: one per exit.
        accuracy: share of right answers.
        cost: mean, in the unit of the costs.
        shares: of the samples that leave at each exit and at the end.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    cost: float
    shares: tuple[float, ...]


def confidence(logits: Float[Tensor, "*n c"]) -> Float[Tensor, "*n"]:
    """The largest probability."""
    return wide(logits).softmax(-1).amax(-1)


def left_at(sure: Float[Tensor, "n e"], thresholds: Sequence[float]) -> Int64[Tensor, " n"]:
    """The number of the exit at which each sample leaves, or that of the end.

    Args:
        sure: the confidence at each exit.
        thresholds: one per exit.
    """
    leaves = sure >= torch.tensor(thresholds, dtype=sure.dtype, device=sure.device)
    return torch.cat((leaves, leaves.new_ones(len(leaves), 1)), dim=1).int().argmax(1)


def outcome(sure: Float[Tensor, "n e"], right: Bool[Tensor, "n m"], costs: Costs, thresholds: Sequence[float]) -> Point:
    """Accuracy, mean cost and shares.

    Args:
        sure: the confidence of each sample at each exit.
        right: whether each exit, and the end, is right about it.
        costs: of the network.
        thresholds: one per exit.
    """
    left = left_at(sure, thresholds)
    shares = (left.bincount(minlength=right.shape[1]).double() / len(left)).tolist()
    accuracy = right.gather(1, left[:, None]).double().mean().item()
    mean = sum(share * cost for share, cost in zip(shares, costs.leaving(thresholds), strict=True))
    return Point(tuple(thresholds), accuracy, mean, tuple(shares))


def chosen(
    sure: Float[Tensor, "n e"],
    right: Bool[Tensor, "n m"],
    costs: Costs,
    *,
    accuracy_drop: float | None = None,
    cost: float | None = None,
) -> Point:
    """The thresholds that reach a target, found on labelled samples that nothing is trained on.

    Begins with the best threshold that all exits have in common and then moves the exits' own, one at a time, as long
    as that is better. Thresholds have four decimals, so that rounding does not decide who leaves.

    Args:
        sure: the confidence of each sample at each exit.
        right: whether each exit, and the end, is right about it.
        costs: of the network.
        accuracy_drop: the least cost whose accuracy is at most this many percentage points below the end's.
        cost: the best accuracy whose mean cost is at most this share of the network without heads.

    Raises:
        ValueError: not exactly one target is given.
        MethodError: there is no sample, or no thresholds reach the cost.
    """
    if (accuracy_drop is None) == (cost is None):
        raise ValueError("expected one target, accuracy_drop or cost")
    if not len(sure):
        raise MethodError("thresholds are chosen on labelled validation samples, and there is none")
    floor = right[:, -1].double().mean().item() - (accuracy_drop or 0.0) / 100
    limit = (cost or 0.0) * costs.trunk[-1]

    def rank(point: Point) -> tuple[bool, float, float]:
        if cost is None:
            return point.accuracy >= floor - _SLACK, -point.cost, point.accuracy
        within = point.cost <= limit * (1 + _SLACK)
        return (within, point.accuracy, -point.cost) if within else (within, -point.cost, point.accuracy)

    def judged(thresholds: Sequence[float]) -> Point:
        return outcome(sure, right, costs, thresholds)

    count = sure.shape[1]
    best = max((judged([value] * count) for value in _candidates(sure.flatten())), key=rank)
    own = [_candidates(sure[:, number]) for number in range(count)]
    moved = True
    while moved:
        before = best
        for number, candidates in enumerate(own):
            moves = [judged(_with(best.thresholds, number, value)) for value in candidates]
            best = max((best, *moves), key=rank)
        moved = rank(best) > rank(before)
    if not rank(best)[0]:
        raise MethodError(
            f"cost: no thresholds bring the mean cost to {cost:.0%} of the whole network's; the least is "
            f"{best.cost / costs.trunk[-1]:.0%}, with every sample leaving as early as it can"
        )
    return replace(best, thresholds=tuple(best.thresholds))


def _with(thresholds: Sequence[float], number: int, value: float) -> list[float]:
    return [*thresholds[:number], value, *thresholds[number + 1 :]]


def _candidates(sure: Float[Tensor, " n"]) -> list[float]:
    """Thresholds worth a look: all leave, none does, and some between that cut off equal parts of the samples."""
    places = torch.linspace(0, len(sure) - 1, min(_QUANTILES, len(sure))).round().long()
    cuts = sure.sort().values[places.to(sure.device)].tolist()
    return [0.0, *sorted({min(round(cut, _DIGITS), _SURE) for cut in cuts}), NEVER]
