"""Error counts with their noise.

Two kinds of noise are told apart. Another seed gives another network: the spread over seeds. Another test set of n
images gives another count, even for the same network: sqrt(e · (1 - e / n)) for e errors. Two networks that are tested
on the same images share most of the second kind; what is left of it comes from the images on which they differ. With
d(x) = the share of the first one's seeds that are wrong on image x, less the same of the second:

    difference = Σ d(x)        noise² = Σ d(x)² - (Σ d(x))² / n + s₁² / k₁ + s₂² / k₂

with s the standard deviation over k seeds. For single networks Σ d² is the number of images on which one is right and
the other wrong, as in McNemar's test.

A confidence interval has the same two sources, with two refinements. Networks of equal seed begin alike and see their
batches in the same order, so with as many seeds on either side s is that of the k differences, one per seed, and s²/k
takes the place of the last two terms. And few seeds say little about s, so the noise is multiplied by a quantile of
Student's t, with the degrees of freedom of a sum of estimated variances (Satterthwaite, An Approximate Distribution of
Estimates of Variance Components, Biometrics Bulletin 1946).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.evaluate.predictions import Predictions

CLEAR = 2.0
"""A difference is called clear from so many times its noise on."""


@dataclass(frozen=True)
class Difference:
    """By how much one is better than another: how many errors fewer it has, or what else is counted.

    Args:
        value: above 0 if it is better.
        noise: one standard deviation of it.
    """

    value: float
    noise: float

    @property
    def clear(self) -> bool:
        """Whether it is above 0 by more than twice its noise."""
        return self.value > CLEAR * self.noise

    def __str__(self) -> str:
        return f"{self.value:.0f} ± {self.noise:.0f}"


@dataclass(frozen=True)
class Interval:
    """A difference of accuracies with its confidence interval, as shares.

    Args:
        value: above 0 if the first one is better.
        low: its lower end.
        high: its upper end.
        seeds: of the side that has fewer; with 1 the interval holds the noise of the test images alone.
    """

    value: float
    low: float
    high: float
    seeds: int

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0


@runtime_checkable
class Answered(Protocol):
    """What keeps its answers to the test images, such as a finished run."""

    def predictions(self, which: str = ...) -> Predictions:
        """They."""


@dataclass(frozen=True, eq=False)
class Errors:
    """What each of several seeds of a network gets wrong.

    Args:
        wrong: per network and test image, in the order of the images' ids.
        group: so many networks in a row were trained together. They are not independent: one group is one seed.
    """

    wrong: Bool[Tensor, "k n"]
    group: int = 1

    @staticmethod
    def of(finished: Sequence[Answered], which: str = "last") -> Errors:
        """Of finished runs; `which`: of the network after the last step, or of the one that was best in validation."""
        return Errors.in_predictions([one.predictions(which) for one in finished])

    @staticmethod
    def in_predictions(several: Sequence[Predictions], *, group: int = 1) -> Errors:
        """Of predictions on the same images, one per network.

        Raises:
            DataError: they are of other images.
        """
        ordered = [one.take(one.ids.argsort(stable=True)) for one in several]
        if any(not torch.equal(one.ids, ordered[0].ids) for one in ordered):
            raise DataError("expected predictions on the same images of every seed, got others")
        return Errors(torch.stack([one.logits.argmax(1) != one.labels for one in ordered]), group)

    @property
    def counts(self) -> list[float]:
        """Errors of each seed; of a group the mean over its networks."""
        found: list[float] = self.wrong.sum(1).double().unflatten(0, (-1, self.group)).mean(1).tolist()
        return found

    @property
    def images(self) -> int:
        """How many there are."""
        return self.wrong.shape[1]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.counts)

    @property
    def rate(self) -> float:
        """The mean as a share of the images."""
        return self.mean / self.images

    @property
    def spread(self) -> float:
        """The standard deviation over seeds; 0 for a single one, which has none to show."""
        return statistics.stdev(self.counts) if len(self.counts) > 1 else 0.0

    @property
    def counting(self) -> float:
        """The noise of the mean count over test sets of this size."""
        return math.sqrt(self.mean * (1 - self.rate))

    @property
    def noise(self) -> float:
        """Of the mean, from both sources."""
        return math.hypot(self.counting, self.spread / math.sqrt(len(self.counts)))

    def fewer_than(self, other: Errors) -> Difference:
        """How many errors fewer than another network on the same images."""
        if self.images != other.images:
            raise DataError(f"expected errors on the same images, got {self.images} and {other.images} of them")
        d = other.wrong.double().mean(0) - self.wrong.double().mean(0)
        value = float(d.sum())
        tested = float(d.square().sum()) - value**2 / self.images
        seeds = sum(one.spread**2 / len(one.counts) for one in (self, other))
        return Difference(value, math.sqrt(max(tested, 0.0) + seeds))

    def accuracy_over(self, other: Errors, *, confidence: float = 0.95) -> Interval:
        """By how much the accuracy is higher than another network's on the same images.

        Args:
            other: of the same images; of the same seeds in the same order, if it has as many.
            confidence: in (0, 1).

        Raises:
            DataError: they are of other images.
        """
        from scipy.stats import t

        found, n = self.fewer_than(other), self.images
        k = (len(self.counts), len(other.counts))
        if k[0] == k[1]:
            per_seed = [theirs - ours for ours, theirs in zip(self.counts, other.counts, strict=True)]
            over_seeds = [(statistics.variance(per_seed) / k[0], k[0] - 1)] if k[0] > 1 else []
        else:
            over_seeds = [(one.spread**2 / len(one.counts), len(one.counts) - 1) for one in (self, other)]
        d = other.wrong.double().mean(0) - self.wrong.double().mean(0)
        parts = [(float(d.var(correction=0)) * n, n - 1), *over_seeds]
        variance = sum(part for part, _ in parts)
        spread = sum(part**2 / freedom for part, freedom in parts if part)
        half = float(t.ppf((1 + confidence) / 2, variance**2 / spread)) * math.sqrt(variance) if variance else 0.0
        value = found.value / n
        return Interval(value, value - half / n, value + half / n, min(k))

    def __str__(self) -> str:
        spread = f" ± {self.spread:.0f}" if len(self.counts) > 1 else ""
        return f"{self.mean:.0f}{spread}"
