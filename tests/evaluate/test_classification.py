"""Metrics against transcriptions in NumPy float64, hand values and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from limbeck.core.errors import DataError, ModelError
from limbeck.evaluate import classification
from limbeck.evaluate.classification import compare, confusion, expected_calibration_error, measure, reliability
from limbeck.evaluate.predictions import Predictions


def names(c: int) -> list[str]:
    return [f"class {i}" for i in range(c)]


def made(logits: object, labels: object) -> Predictions:
    scores = torch.as_tensor(logits, dtype=torch.float32)
    return Predictions(logits=scores, labels=torch.as_tensor(labels), ids=torch.arange(len(scores)))


def drawn(n: int = 500, c: int = 8, seed: int = 0, scale: float = 2.0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, c, generator=generator) * scale
    labels = torch.where(
        torch.rand(n, generator=generator) < 0.5, logits.argmax(1), torch.randint(c, (n,), generator=generator)
    )
    return made(logits, labels)


def in_numpy(predictions: Predictions) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return log_softmax(predictions.logits.numpy().astype(np.float64), axis=1), predictions.labels.numpy()


def ece_in_numpy(predictions: Predictions, bins: int) -> float:
    """Guo et al. 2017, equations 2, 3 and 5, bin by bin."""
    log_p, y = in_numpy(predictions)
    confidence, right = np.exp(log_p).max(1), log_p.argmax(1) == y
    total = 0.0
    for m in range(1, bins + 1):
        members = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if members.any():
            total += members.sum() / len(y) * abs(right[members].mean() - confidence[members].mean())
    return total


def test_every_figure_equals_its_transcription(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "_BLOCK", 64)  # several blocks, the last one incomplete
    predictions = drawn()
    log_p, y = in_numpy(predictions)
    p, one_hot, right = np.exp(log_p), np.eye(8)[y], log_p.argmax(1) == y
    figures = measure(predictions, names(8))

    assert figures["samples"] == 500
    assert figures["accuracy"] == right.mean()
    assert figures["errors"] == (~right).sum()
    top5 = np.argsort(-predictions.logits.numpy(), axis=1)[:, :5]
    assert figures["top5"] == (top5 == y[:, None]).any(1).mean()
    assert figures["nll"] == pytest.approx(-np.mean(log_p[np.arange(500), y]), abs=1e-12)
    assert figures["brier"] == pytest.approx(((p - one_hot) ** 2).sum(1).mean(), abs=1e-12)
    assert figures["ece"] == pytest.approx(ece_in_numpy(predictions, 15), abs=1e-12)
    for i in range(8):
        assert figures["per_class"][f"class {i}"] == right[y == i].mean()


def test_torchmetrics_agrees() -> None:
    functional = pytest.importorskip("torchmetrics.functional.classification")
    predictions = drawn(seed=3)
    p, y = predictions.logits.softmax(1), predictions.labels
    figures = measure(predictions, names(8))
    ece = functional.multiclass_calibration_error(p, y, num_classes=8, n_bins=15, norm="l1")
    assert figures["ece"] == pytest.approx(ece.item(), abs=1e-6)
    for k, name in ((1, "accuracy"), (5, "top5")):
        share = functional.multiclass_accuracy(p, y, num_classes=8, average="micro", top_k=k)
        assert figures[name] == pytest.approx(share.item(), abs=1e-6)
    assert torch.equal(confusion(predictions), functional.multiclass_confusion_matrix(p, y, num_classes=8))


def test_perfect_predictions() -> None:
    labels = torch.arange(6).repeat(2)
    figures = measure(made(torch.eye(6)[labels] * 1000, labels), names(6))
    assert figures.pop("per_class") == dict.fromkeys(names(6), 1.0)
    assert figures == {
        "samples": 12, "accuracy": 1.0, "errors": 0, "top5": 1.0, "nll": 0.0, "ece": 0.0, "brier": 0.0,
    }  # fmt: skip


def test_worst_predictions() -> None:
    figures = measure(made([[1000.0, 0.0], [0.0, 1000.0]], [1, 0]), names(2))
    assert figures["accuracy"] == 0
    assert figures["errors"] == 2
    assert figures["nll"] == 1000
    assert figures["brier"] == 2
    assert figures["ece"] == 1
    assert "top5" not in figures


def test_uniform_predictions_get_what_guessing_deserves() -> None:
    labels = torch.arange(10).repeat(3)
    figures = measure(made(torch.full((30, 10), 7.0), labels), names(10))
    assert figures["accuracy"] == pytest.approx(0.1)
    assert figures["top5"] == pytest.approx(0.5)
    assert figures["nll"] == pytest.approx(math.log(10))
    assert figures["brier"] == pytest.approx(0.9)
    assert figures["ece"] == pytest.approx(0, abs=1e-12)
    assert figures["per_class"]["class 0"] == 1
    assert figures["per_class"]["class 9"] == 0


def test_unlabelled_samples_are_left_out_and_absent_classes_have_no_accuracy() -> None:
    predictions = drawn(n=40, c=3)
    holes = Predictions(
        logits=predictions.logits,
        labels=predictions.labels.where(torch.arange(40) % 3 > 0, -100),
        ids=predictions.ids,
    )
    kept = predictions.take(torch.arange(40) % 3 > 0)
    assert measure(holes, names(3)) == measure(kept, names(3))
    assert torch.equal(confusion(holes), confusion(kept))
    assert reliability(holes) == reliability(kept)
    assert measure(made([[1.0, 0.0]], [0]), ["a", "b"])["per_class"] == {"a": 1.0, "b": None}


def test_what_cannot_be_measured_says_why() -> None:
    with pytest.raises(DataError, match="got none on 2 samples"):
        measure(made(torch.zeros(2, 3), [-100, -100]), names(3))
    with pytest.raises(DataError, match=r"labels 0 to 2 .* got 3 at sample 1"):
        measure(made(torch.zeros(2, 3), [0, 3]), names(3))
    with pytest.raises(DataError, match="got -1 at sample 0"):
        confusion(made(torch.zeros(2, 3), [-1, 0]))
    with pytest.raises(ModelError, match="logits of 4 classes, got 3"):
        measure(made(torch.zeros(2, 3), [0, 1]), names(4))
    with pytest.raises(ModelError, match=r"not finite on 1 of 2 samples \(first: sample 1\)"):
        measure(made([[0.0, 1.0], [0.0, float("nan")]], [0, 1]), names(2))


def test_the_bars_of_a_reliability_diagram() -> None:
    # Confidences 0.65, 0.65, 0.9 of two classes; the two at 0.65 are half right.
    def row(p: float) -> list[float]:
        return [math.log(p), math.log(1 - p)]

    predictions = made([row(0.65), row(0.65), row(0.9)], [0, 1, 0])
    bars = reliability(predictions, bins=5)
    assert [bar["count"] for bar in bars] == [0, 0, 0, 2, 1]
    assert bars[0] == {"lower": 0.0, "upper": 0.2, "count": 0, "confidence": None, "accuracy": None}
    assert bars[4]["confidence"] == pytest.approx(0.9)
    assert bars[4]["accuracy"] == 1
    assert expected_calibration_error(predictions, bins=5) == pytest.approx(2 / 3 * 0.15 + 1 / 3 * 0.1)


def test_confusion_has_true_classes_in_rows() -> None:
    assert confusion(made(torch.eye(3), [1, 1, 2])).tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_a_network_is_like_itself() -> None:
    assert compare(drawn(), drawn()) == {"agreement": 1.0, "kl": 0.0}


def test_divergence_runs_from_the_teacher_to_the_student() -> None:
    student, teacher = drawn(seed=1), drawn(seed=2)
    (ours, _), (theirs, _) = in_numpy(student), in_numpy(teacher)
    kl = (np.exp(theirs) * (theirs - ours)).sum(1).mean()
    figures = compare(student, teacher)
    assert figures["kl"] == pytest.approx(kl, abs=1e-12)
    assert figures["kl"] != pytest.approx(compare(teacher, student)["kl"], rel=1e-3)
    assert figures["agreement"] == (ours.argmax(1) == theirs.argmax(1)).mean()
    # By hand: teacher (1/2, 1/2), student (1/4, 3/4).
    hand = compare(made([[0.0, math.log(3)]], [0]), made([[0.0, 0.0]], [0]))
    assert hand["kl"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=1e-7)


def test_order_does_not_matter_but_the_samples_do() -> None:
    student, teacher = drawn(seed=1), drawn(seed=2)
    shuffled = teacher.take(torch.randperm(500, generator=torch.Generator().manual_seed(0)))
    assert compare(student, shuffled) == pytest.approx(compare(student, teacher))
    with pytest.raises(DataError, match="the same samples, got 500 of the student and 499"):
        compare(student, teacher.take(torch.arange(499)))
    with pytest.raises(ModelError, match="8 of the student and 4 of the teacher"):
        compare(student, Predictions(logits=teacher.logits[:, :4], labels=teacher.labels, ids=teacher.ids))


def test_extreme_logits_have_a_finite_divergence() -> None:
    figures = compare(made([[0.0, 2000.0]], [0]), made([[2000.0, 0.0]], [0]))
    assert figures == {"agreement": 0.0, "kl": 2000.0}
