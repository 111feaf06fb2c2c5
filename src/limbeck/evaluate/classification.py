"""How good a classifier is, how well it knows it, and how alike two classifiers are.

Symbols: z the logits [n c], p = softmax(z), y the labels [n], one-hot(y) [n c]. All sums are formed in float64.
A tie between logits is won by the class with the lower index, for accuracy, top-5 and confusion alike, so that a
network that says the same about all classes gets no credit for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from limbeck.core.errors import DataError, ModelError
from limbeck.evaluate.predictions import Predictions

_BLOCK = 4096


def measure(predictions: Predictions, classes: Sequence[str], *, bins: int = 15) -> dict[str, Any]:
    """The figures of one classifier, over the samples that have a label.

    Args:
        predictions: logits [n c]; samples labelled -100 are left out.
        classes: the c names.
        bins: of the expected calibration error.

    Returns:
        `samples` (how many had a label), `accuracy` (share), `errors` (number of samples), `top5` (share; only with
        more than five classes), `nll` (mean -log p_y, nats), `ece` (see `expected_calibration_error`), `brier` (mean of
        sum_c (p - one-hot(y))^2: 0 = perfect, 2 = worst), `per_class` (name -> accuracy; None without a sample).

    Raises:
        DataError: no sample has a label, or a label is not one of the classes.
        ModelError: there are not as many logits as classes, or a logit is not finite.
    """
    if predictions.logits.shape[1] != len(classes):
        raise ModelError(f"expected logits of {len(classes)} classes, got {predictions.logits.shape[1]}")
    known = _checked(predictions)
    labels, rank = known.labels, _ranks(known)
    right = rank == 0
    nll, brier = _proper_scores(known)
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    hits = torch.bincount(labels[right], minlength=len(classes)).tolist()
    top5 = {"top5": _share(rank < 5)} if len(classes) > 5 else {}
    return {
        "samples": len(known),
        "accuracy": _share(right),
        "errors": int((~right).sum()),
        **top5,
        "nll": nll,
        "ece": expected_calibration_error(known, bins=bins),
        "brier": brier,
        "per_class": {name: hit / n if n else None for name, hit, n in zip(classes, hits, counts, strict=True)},
    }


def compare(student: Predictions, teacher: Predictions) -> dict[str, float]:
    """How alike two classifiers are, over all samples, labelled or not.

    Args:
        student: logits [n c].
        teacher: logits [n c] on the same samples, in any order.

    Returns:
        `agreement` (share of samples on which both put the same class first) and `kl` (mean KL(teacher || student) in
        nats, temperature 1: what the student would have to learn to be the teacher).

    Raises:
        DataError: the samples are not the same.
        ModelError: the number of classes differs, or a logit is not finite.
    """
    if not torch.equal(student.ids, teacher.ids):
        student, teacher = (p.take(p.ids.argsort(stable=True)) for p in (student, teacher))
    if not len(student) or not torch.equal(student.ids, teacher.ids):
        raise DataError(
            f"expected both networks' predictions on the same samples, got {len(student)} of the student and "
            f"{len(teacher)} of the teacher with other ids; evaluate both on the same part of the data"
        )
    if student.logits.shape != teacher.logits.shape:
        raise ModelError(
            f"expected logits over the same classes, got {student.logits.shape[1]} of the student and "
            f"{teacher.logits.shape[1]} of the teacher; select the teacher's columns with `classes`"
        )
    _check_finite(student, "the student's")
    _check_finite(teacher, "the teacher's")
    total = torch.zeros((), dtype=torch.float64)
    for ours, theirs in zip(_log_probabilities(student.logits), _log_probabilities(teacher.logits), strict=True):
        total += (theirs.exp() * (theirs - ours)).sum()
    same = student.logits.argmax(1) == teacher.logits.argmax(1)
    # Rounding may leave a divergence of equal distributions at -1e-17.
    return {"agreement": _share(same), "kl": max(0.0, total.item() / len(student))}


def reliability(predictions: Predictions, *, bins: int = 15) -> list[dict[str, float | int | None]]:
    """The bars of a reliability diagram (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).

    Samples are sorted by confidence (the largest p) into bins (lower, upper] of equal width.

    Args:
        predictions: logits [n c]; samples labelled -100 are left out.
        bins: how many.

    Returns:
        For each bin `lower`, `upper`, `count`, and the mean `confidence` and `accuracy` (None in an empty bin).

    Raises:
        DataError: no sample has a label, or a label is not one of the classes.
        ModelError: a logit is not finite.
    """
    known = _checked(predictions)
    confidence = torch.cat([block.amax(1).exp() for block in _log_probabilities(known.logits)])
    right = (known.logits.argmax(1) == known.labels).double()
    bin_of = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    count = torch.bincount(bin_of, minlength=bins).tolist()
    confidences = torch.bincount(bin_of, weights=confidence, minlength=bins).tolist()
    hits = torch.bincount(bin_of, weights=right, minlength=bins).tolist()
    return [
        {
            "lower": i / bins,
            "upper": (i + 1) / bins,
            "count": n,
            "confidence": confidences[i] / n if n else None,
            "accuracy": hits[i] / n if n else None,
        }
        for i, n in enumerate(count)
    ]


def expected_calibration_error(predictions: Predictions, *, bins: int = 15) -> float:
    """The mean distance of the reliability diagram's bars from the diagonal, weighted by their samples; in [0, 1].

    Args:
        predictions: logits [n c]; samples labelled -100 are left out.
        bins: how many.

    Raises:
        DataError: no sample has a label, or a label is not one of the classes.
        ModelError: a logit is not finite.
    """
    bars = reliability(predictions, bins=bins)
    gaps = [
        bar["count"] * abs(bar["accuracy"] - bar["confidence"])
        for bar in bars
        if bar["count"] and bar["accuracy"] is not None and bar["confidence"] is not None
    ]
    return sum(gaps) / sum(bar["count"] or 0 for bar in bars)


def confusion(predictions: Predictions) -> Int64[Tensor, "c c"]:
    """How often each class (row) was taken for each class (column); samples labelled -100 are left out.

    Raises:
        DataError: no sample has a label, or a label is not one of the classes.
        ModelError: a logit is not finite.
    """
    known = _checked(predictions)
    c = known.logits.shape[1]
    return torch.bincount(known.labels * c + known.logits.argmax(1), minlength=c * c).view(c, c)


def _checked(predictions: Predictions) -> Predictions:
    """The labelled samples, or an error that says what is wrong with them."""
    known = predictions.labelled()
    if not len(known):
        raise DataError(f"expected labels to measure against, got none on {len(predictions)} samples")
    c = known.logits.shape[1]
    wrong = (known.labels < 0) | (known.labels >= c)
    if wrong.any():
        label, sample = known.labels[wrong][0].item(), known.ids[wrong][0].item()
        raise DataError(f"expected labels 0 to {c - 1} (or -100 = unlabelled), got {label} at sample {sample}")
    _check_finite(known, "the network's")
    return known


def _check_finite(predictions: Predictions, whose: str) -> None:
    bad = ~predictions.logits.isfinite().all(1)
    if bad.any():
        raise ModelError(
            f"{whose} logits are not finite on {int(bad.sum())} of {len(predictions)} samples (first: sample "
            f"{predictions.ids[bad][0].item()}): it diverged, or its numbers overflow in this precision"
        )


def _ranks(predictions: Predictions) -> Int64[Tensor, " n"]:
    """How many classes stand before the right one: 0 = the network's answer is right."""
    logits, labels = predictions.logits, predictions.labels
    own = logits.gather(1, labels[:, None])
    earlier = torch.arange(logits.shape[1]) < labels[:, None]
    return ((logits > own) | ((logits == own) & earlier)).sum(1)


def _proper_scores(predictions: Predictions) -> tuple[float, float]:
    """The mean negative log-likelihood and Brier score."""
    nll = brier = torch.zeros((), dtype=torch.float64)
    for log_p, y in zip(_log_probabilities(predictions.logits), predictions.labels.split(_BLOCK), strict=True):
        rows = torch.arange(len(y))
        nll = nll - log_p[rows, y].sum()
        p = log_p.exp()
        p[rows, y] -= 1
        brier = brier + p.square().sum()
    return nll.item() / len(predictions), brier.item() / len(predictions)


def _log_probabilities(logits: Float[Tensor, "n c"]) -> Iterator[Float64[Tensor, "b c"]]:
    """Log-softmax in float64, in blocks, so that the large copy never exists as a whole."""
    for block in logits.split(_BLOCK):
        yield block.double().log_softmax(1)


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()
