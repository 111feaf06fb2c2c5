"""From frames to words: what a network that classifies the frames of recordings says about each recording.

A recording u has the frames x in F(u), and its word is

    argmax_c  1/|F(u)| Σ_{x in F(u)} log p(c | x),        p = softmax(logits)

so every frame has the same say, and a recording is as long as it is.
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.evaluate.classification import measure
from limbeck.evaluate.predictions import UNLABELLED, Predictions


def words(predictions: Predictions, utterances: Int64[Tensor, " ids"]) -> Predictions:
    """One row per recording instead of one per frame.

    Args:
        predictions: of frames.
        utterances: the recording of each sample id, as `SpokenDigits.utterances` gives it.

    Returns:
        As logits the mean log-probabilities [recordings c], float32; as ids the recordings' numbers, ascending; the
        label is that of the recording's frames.

    Raises:
        DataError: an id has no recording, or the frames of one recording have several labels.
    """
    ids = predictions.ids
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(utterances):
        raise DataError(
            f"expected sample ids 0 to {len(utterances) - 1}, for which the recording is known, got {int(ids.min())} "
            f"to {int(ids.max())}; take the recordings of the same data, cut in the same way"
        )
    recordings, row = torch.unique(utterances[ids], return_inverse=True)
    labels = torch.full((len(recordings),), UNLABELLED).scatter_(0, row, predictions.labels)
    if not torch.equal(labels[row], predictions.labels):
        wrong = recordings[row[labels[row] != predictions.labels][0]].item()
        raise DataError(f"the frames of recording {wrong} have several labels; are the ids those of this data set?")
    scores = predictions.logits.double().log_softmax(1)
    total = torch.zeros(len(recordings), scores.shape[1], dtype=torch.float64).index_add_(0, row, scores)
    mean = total / torch.bincount(row, minlength=len(recordings))[:, None]
    return Predictions(logits=mean.float(), labels=labels, ids=recordings)


def word_accuracy(predictions: Predictions, utterances: Int64[Tensor, " ids"]) -> float:
    """The share of recordings whose word is right; those without a label are left out.

    Args:
        predictions: of frames.
        utterances: the recording of each sample id.

    Raises:
        DataError: as `words`, or no recording has a label.
        ModelError: a logit is not finite.
    """
    spoken = words(predictions, utterances)
    accuracy: float = measure(spoken, [str(number) for number in range(spoken.logits.shape[1])])["accuracy"]
    return accuracy
