from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.evaluate.predictions import Predictions
from limbeck.reproduce.hinton2015.frames import Gain, Right


def predictions(right: list[bool]) -> Predictions:
    """Of two classes, all of class 0."""
    logits = torch.tensor([[1.0, 0.0] if one else [0.0, 1.0] for one in right])
    return Predictions(logits=logits, labels=torch.zeros(len(right), dtype=torch.int64), ids=torch.arange(len(right)))


def test_right_frames_are_counted_by_recording() -> None:
    found = Right.of(
        [predictions([True, False, True, True]), predictions([True, True, True, True])], torch.tensor([7, 7, 9, 9])
    )
    assert found.counts.tolist() == [[1.0, 2.0], [2.0, 2.0]]
    assert found.shares == [0.75, 1.0]
    assert str(found) == "87.5 ± 17.7 %"
    assert found.wrong == "12.5 ± 17.7 %"


def test_a_gain_is_noisy_by_recordings_not_by_frames() -> None:
    """Ten frames that are always right or wrong together count as one word of ten times the weight."""
    words_one, words_other = [True] * 60 + [False] * 40, [True] * 40 + [False] * 60
    words = Right.of([predictions(words_one)]).gain_over(Right.of([predictions(words_other)]))
    utterances = torch.arange(100).repeat_interleave(10)
    tenfold = [predictions([one for one in several for _ in range(10)]) for several in (words_one, words_other)]
    frames = Right.of([tenfold[0]], utterances).gain_over(Right.of([tenfold[1]], utterances))
    assert words.value == pytest.approx(0.2)
    assert words.noise == pytest.approx(math.sqrt(20 - 20**2 / 100) / 100)  # McNemar's: 20 words differ
    assert (frames.value, frames.noise) == (pytest.approx(words.value), pytest.approx(words.noise))


def test_the_spread_of_networks_is_noise() -> None:
    other = Right.of([predictions([True, False] * 50)])
    several = Right.of([predictions([True, False] * 50), predictions([True] * 100)])
    gain = several.gain_over(other)
    d = np.array([0.0, 0.5] * 50)  # the mean of two networks, less the other one, of each recording
    tested = (np.square(d).sum() - d.sum() ** 2 / 100) / 100**2
    assert gain.noise == pytest.approx(math.sqrt(tested + np.std([0.5, 1.0], ddof=1) ** 2 / 2))


def test_a_network_gains_nothing_over_itself() -> None:
    one = Right.of([predictions([True, False, True])])
    assert one.gain_over(one) == Gain(0.0, 0.0)
    assert not one.gain_over(one).clear
    assert one.gain_over(one).kept_of(one.gain_over(one)) == 0.0
    assert Gain(0.01, 0.001).kept_of(Gain(0.02, 0.001)) == 0.5


def test_other_samples_are_refused() -> None:
    with pytest.raises(DataError, match="same samples"):
        Right.of([predictions([True, False]), predictions([True])])


def test_the_order_of_the_samples_does_not_matter() -> None:
    one, order = predictions([True, False, False, True]), torch.tensor([2, 0, 3, 1])
    utterances = torch.tensor([0, 0, 1, 1])
    assert Right.of([one.take(order)], utterances).counts.equal(Right.of([one], utterances).counts)
