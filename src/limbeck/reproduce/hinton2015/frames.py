"""What networks get right in recordings, and how much of it is noise.

Frames of one recording are right or wrong together, so the noise of a test set is that of its recordings. With d(u) the
difference between two networks' right answers in recording u (each the mean over its seeds), and s the standard
deviation over k seeds:

    gain = Σ d(u) / total        noise² = (Σ d(u)² - (Σ d(u))² / recordings) / total² + s₁² / k₁ + s₂² / k₂
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.evaluate.noise import Difference
from limbeck.evaluate.predictions import Predictions


class Gain(Difference):
    """How much larger one share is than another."""

    def kept_of(self, other: Gain) -> float:
        """This gain as a share of a larger one; 0 where there is nothing to keep."""
        return self.value / other.value if other.value > 0 else 0.0

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} ± {100 * self.noise:.2f} points"


@dataclass(frozen=True, eq=False)
class Right:
    """What several networks get right, recording by recording.

    Args:
        counts: of right frames, or words, in each recording.
        total: of frames, or words, in all of them.
    """

    counts: Float64[Tensor, "networks recordings"]
    total: int

    @staticmethod
    def of(several: Sequence[Predictions], utterances: Int64[Tensor, " ids"] | None = None) -> Right:
        """Of predictions on the same samples.

        Args:
            several: one per network.
            utterances: the recording of each sample id; absent = each sample is a recording of its own.

        Raises:
            DataError: they are on other samples.
        """
        ordered = _in_order(several)
        ids = ordered[0].ids
        recordings, row = torch.unique(ids if utterances is None else utterances[ids], return_inverse=True)
        right = torch.stack([one.logits.argmax(1) == one.labels for one in ordered]).double()
        counts = torch.zeros(len(ordered), len(recordings), dtype=torch.float64).index_add_(1, row, right)
        return Right(counts, len(row))

    @property
    def shares(self) -> list[float]:
        """Of each network."""
        found: list[float] = (self.counts.sum(1) / self.total).tolist()
        return found

    @property
    def mean(self) -> float:
        """Over networks."""
        return statistics.fmean(self.shares)

    @property
    def spread(self) -> float:
        """The standard deviation over networks; 0 for a single one, which has none to show."""
        return statistics.stdev(self.shares) if len(self.shares) > 1 else 0.0

    @property
    def wrong(self) -> str:
        """The share of what is not right, as a text."""
        return self._text(1 - self.mean)

    def gain_over(self, other: Right) -> Gain:
        """How much larger the mean share is than that of other networks on the same recordings."""
        d = self.counts.mean(0) - other.counts.mean(0)
        tested = float(d.square().sum() - d.sum() ** 2 / len(d)) / self.total**2
        seeds = sum(one.spread**2 / len(one.shares) for one in (self, other))
        return Gain(float(d.sum()) / self.total, math.sqrt(max(tested, 0.0) + seeds))

    def _text(self, share: float) -> str:
        spread = f" ± {100 * self.spread:.1f}" if len(self.shares) > 1 else ""
        return f"{100 * share:.1f}{spread} %"

    def __str__(self) -> str:
        return self._text(self.mean)


def _in_order(several: Sequence[Predictions]) -> list[Predictions]:
    ordered = [one.take(one.ids.argsort(stable=True)) for one in several]
    if any(not torch.equal(one.ids, ordered[0].ids) for one in ordered):
        raise DataError("expected predictions of all networks on the same samples, got others")
    return ordered
