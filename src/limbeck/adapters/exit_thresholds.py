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
MARGIN = 2.0
"""Standard deviations by which an accuracy must reach what is asked for."""
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
        noise: standard deviation of the accuracy less that of the end, by which samples these are.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    cost: float
    shares: tuple[float, ...]
    noise: float


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
    """Accuracy and its noise, mean cost and shares.

    Args:
        sure: the confidence of each sample at each exit.
        right: whether each exit, and the end, is right about it.
        costs: of the network.
        thresholds: one per exit.
    """
    left = left_at(sure, thresholds)
    shares = (left.bincount(minlength=right.shape[1]).double() / len(left)).tolist()
    answered = right.gather(1, left[:, None])[:, 0]
    mean = sum(share * cost for share, cost in zip(shares, costs.leaving(thresholds), strict=True))
    return Point(
        thresholds=tuple(thresholds),
        accuracy=answered.double().mean().item(),
        cost=mean,
        shares=tuple(shares),
        noise=_noise(answered, right[:, -1]) if shares[-1] < 1 else 0.0,
    )


def _noise(answered: Bool[Tensor, " n"], end: Bool[Tensor, " n"]) -> float:
    """Of the difference of two accuracies on the same samples; one sample more than seen counts as different."""
    count, differ = len(end), int((answered != end).sum()) + 1
    gained = int(answered.sum()) - int(end.sum())
    return math.sqrt(max(differ - gained**2 / count, 0.0)) / count


def chosen(
    sure: Float[Tensor, "n e"],
    right: Bool[Tensor, "n m"],
    costs: Costs,
    *,
    accuracy_drop: float | None = None,
    cost: float | None = None,
) -> Point:
    """The thresholds that reach a target, found on labelled samples that nothing is trained on.

    Begins with the best threshold that some exits have in common, those from one on or one alone, and then moves the
    exits' own, one at a time, as long as that is better. Thresholds have four decimals, so that rounding does not
    decide who leaves.

    What was searched for on some samples looks better on them than it is. So a drop in accuracy is only believed to
    reach the target if it also does so with `MARGIN` times its noise added: the fewer the samples, the more careful the
    thresholds. From about 1,000 samples on this keeps the target on others nine times in ten; of a few hundred it does
    so about every second time.

    Args:
        sure: the confidence of each sample at each exit.
        right: whether each exit, and the end, is right about it.
        costs: of the network.
        accuracy_drop: the least cost whose accuracy is at most this many percentage points below the end's; with all
            exits closed it is none below.
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
            return point.accuracy - MARGIN * point.noise >= floor - _SLACK, -point.cost, point.accuracy
        within = point.cost <= limit * (1 + _SLACK)
        return (within, point.accuracy, -point.cost) if within else (within, -point.cost, point.accuracy)

    def judged(thresholds: Sequence[float]) -> Point:
        return outcome(sure, right, costs, thresholds)

    own = [_candidates(sure[:, number]) for number in range(sure.shape[1])]

    def climbed(best: Point) -> Point:
        before = None
        while before is None or rank(best) > rank(before):
            before = best
            for number, candidates in enumerate(own):
                moves = [judged(_with(best.thresholds, number, value)) for value in candidates]
                best = max((best, *moves), key=rank)
        return best

    common = _candidates(sure.flatten())
    starts = [
        max((judged([value if is_open else NEVER for is_open in which]) for value in common), key=rank)
        for which in _openings(sure.shape[1])
    ]
    best = max(map(climbed, starts), key=rank)
    if not rank(best)[0]:
        raise MethodError(
            f"cost: no thresholds bring the mean cost to {cost:.0%} of the whole network's; the least is "
            f"{best.cost / costs.trunk[-1]:.0%}, with every sample leaving as early as it can"
        )
    return replace(best, thresholds=tuple(best.thresholds))


def _openings(count: int) -> list[tuple[bool, ...]]:
    """Which exits a search begins with: those from each one on, and each one alone."""
    onwards = [tuple(number >= first for number in range(count)) for first in range(count)]
    alone = [tuple(number == one for number in range(count)) for one in range(count)]
    return list(dict.fromkeys((*onwards, *alone)))


def _with(thresholds: Sequence[float], number: int, value: float) -> list[float]:
    return [*thresholds[:number], value, *thresholds[number + 1 :]]


def _candidates(sure: Float[Tensor, " n"]) -> list[float]:
    """Thresholds worth a look: all leave, none does, and some between that cut off equal parts of the samples."""
    places = torch.linspace(0, len(sure) - 1, min(_QUANTILES, len(sure))).round().long()
    cuts = sure.sort().values[places.to(sure.device)].tolist()
    return [0.0, *sorted({min(round(cut, _DIGITS), _SURE) for cut in cuts}), NEVER]
