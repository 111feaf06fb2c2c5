"""Words from frames against a transcription in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from limbeck.core.errors import DataError
from limbeck.evaluate.predictions import Predictions
from limbeck.evaluate.speech import word_accuracy, words

LENGTHS = (3, 1, 8, 5, 2)
UTTERANCES = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
LABELS = torch.tensor([2, 0, 1, 3, 0])


def drawn() -> Predictions:
    order = torch.randperm(len(UTTERANCES))
    return Predictions(logits=3 * torch.randn(len(order), 4), labels=LABELS[UTTERANCES[order]], ids=order)


def test_a_word_has_the_largest_mean_log_probability() -> None:
    frames = drawn()
    found = words(frames, UTTERANCES)
    log_p = log_softmax(frames.logits.numpy().astype(np.float64), axis=1)
    utterances = UTTERANCES[frames.ids].numpy()
    expected = np.stack([log_p[utterances == number].mean(0) for number in range(len(LENGTHS))])
    np.testing.assert_allclose(found.logits.numpy(), expected, rtol=1e-6)
    assert found.labels.tolist() == LABELS.tolist()
    assert found.ids.tolist() == list(range(len(LENGTHS)))
    assert word_accuracy(frames, UTTERANCES) == np.mean(expected.argmax(1) == LABELS.numpy())


def test_one_sure_frame_outweighs_two_unsure_ones() -> None:
    """Not a vote: two of three frames say 1, but the third all but excludes it."""
    logits = torch.tensor([[0.0, 0.5], [0.0, 0.5], [9.0, 0.0]])
    frames = Predictions(logits=logits, labels=torch.zeros(3, dtype=torch.int64), ids=torch.arange(3))
    assert word_accuracy(frames, torch.zeros(3, dtype=torch.int64)) == 1.0


def test_adding_to_all_logits_of_a_frame_changes_nothing() -> None:
    frames = drawn()
    shifted = Predictions(frames.logits + torch.randn(len(frames), 1), frames.labels, frames.ids)
    torch.testing.assert_close(words(shifted, UTTERANCES).logits, words(frames, UTTERANCES).logits)


def test_a_part_of_the_recordings_and_unlabelled_ones() -> None:
    frames = drawn()
    some = frames.take(UTTERANCES[frames.ids] >= 2)
    assert words(some, UTTERANCES).ids.tolist() == [2, 3, 4]
    unknown = Predictions(some.logits, torch.where(UTTERANCES[some.ids] == 3, -100, some.labels), some.ids)
    assert words(unknown, UTTERANCES).labels.tolist() == [1, -100, 0]


def test_recordings_of_other_data_are_refused() -> None:
    frames = drawn()
    with pytest.raises(DataError, match="expected sample ids 0 to 9"):
        words(frames, UTTERANCES[:10])
    with pytest.raises(DataError, match="recording 0 have several labels"):
        words(frames, torch.zeros_like(UTTERANCES))
