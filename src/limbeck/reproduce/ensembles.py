"""What several finished networks answer together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from limbeck.evaluate.predictions import Predictions
from limbeck.losses.divergence import mean_distribution

Mean = Literal["arithmetic", "geometric"]


def mean_of(members: Sequence[Predictions], mean: Mean = "arithmetic") -> Predictions:
    """The mean of several networks' distributions on the same images."""
    ordered = [one.take(one.ids.argsort(stable=True)) for one in members]
    first = ordered[0]
    logits = mean_distribution([one.logits for one in ordered], mean=mean)
    return Predictions(logits=logits, labels=first.labels, ids=first.ids)
