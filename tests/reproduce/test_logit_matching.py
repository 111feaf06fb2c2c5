from __future__ import annotations

import numpy as np
import torch

from limbeck.reproduce.experiment import Experiment, Scale
from limbeck.reproduce.logit_matching import EXPERIMENT, gradient, gradient_deviation, logits
from limbeck.sweep.finished import Done

SCALE = Scale((0,), quick=True)


def test_all_claims_hold_and_nothing_is_trained() -> None:
    assert isinstance(EXPERIMENT, Experiment)
    assert not EXPERIMENT.runs(SCALE)
    outcome = EXPERIMENT.judge(Done({}), SCALE)
    assert [claim.text for claim in outcome.claims if not claim.held] == []
    assert len(outcome.claims) == 4
    assert [picture.name for picture in outcome.pictures] == ["limit", "gradients"]


def test_the_gradient_is_numpy_s_finite_difference() -> None:
    z, v = (one[:3].numpy() for one in logits())

    def cross_entropy(z: np.ndarray, t: float) -> float:
        log_q = z / t - np.log(np.exp(z / t).sum(-1, keepdims=True))
        p = np.exp(v / t) / np.exp(v / t).sum(-1, keepdims=True)
        return float(-(p * log_q).sum())

    for t in (1.0, 4.0, 20.0):
        found = gradient(torch.from_numpy(z), torch.from_numpy(v), t).numpy()
        for row, column in ((0, 0), (1, 4), (2, 9)):
            step = np.zeros_like(z)
            step[row, column] = 1e-5
            slope = (cross_entropy(z + step, t) - cross_entropy(z - step, t)) / 2e-5
            np.testing.assert_allclose(found[row, column], slope, rtol=1e-5, atol=1e-9)


def test_the_deviation_falls_as_one_over_the_temperature() -> None:
    z, v = logits()
    assert 9 < gradient_deviation(z, v, 1e3) / gradient_deviation(z, v, 1e4) < 11
