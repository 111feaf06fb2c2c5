"""What several finished networks answer together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from limbeck.core.errors import DataError
from limbeck.evaluate.predictions import Predictions
from limbeck.losses.divergence import mean_distribution

Mean = Literal["arithmetic", "geometric"]


def mean_of(members: Sequence[Predictions], mean: Mean = "arithmetic") -> Predictions:
    """The mean of several networks' distributions on the same images; raises DataError if they are of others."""
    ordered = [one.take(one.ids.argsort(stable=True)) for one in members]
    first = ordered[0]
    if any(not torch.equal(one.ids, first.ids) for one in ordered):
        raise DataError("expected predictions on the same images of every network, got others")
    logits = mean_distribution([one.logits for one in ordered], mean=mean)
    return Predictions(logits=logits, labels=first.labels, ids=first.ids)
