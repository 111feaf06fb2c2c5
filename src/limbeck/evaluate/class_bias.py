"""Correcting the biases of a few classes of a trained classifier, afterwards.

A network that was never shown a class, or shown a class too often, has learned a wrong prior. Hinton, Vinyals and Dean
(arXiv:1503.02531, section 3) raise the bias of a class that was missing from the transfer set by the value that is best
*on the test set*. `best_on_test` does that, and its name says so: its figure is optimistic, because test labels chose
it. `matching_prior` needs no label at all. On images without labels it makes the mean prediction what it should be:

    mean over images of softmax(z + b)_k = π_k        for the classes k that get a bias, b = 0 for the others

Left minus right is the gradient of the convex function mean logsumexp(z + b) - Σ_k π_k b_k, so there is one solution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from limbeck.core.errors import DataError, ModelError
from limbeck.evaluate.predictions import Predictions


def matching_prior(logits: Float[Tensor, "n c"], classes: Sequence[int], prior: Sequence[float]) -> list[float]:
    """The biases with which the mean prediction of some classes is their prior; no label is used.

    Args:
        logits: of images drawn as those on which the classifier will be used; they need no labels.
        classes: which of the c columns get a bias; not all of them.
        prior: for each of these classes its share among the images, in (0, 1); together below 1.

    Returns:
        One bias per class of `classes`.

    Raises:
        DataError: there is no image, or classes and prior do not fit together.
        ModelError: the equations could not be solved.
    """
    _check(logits, classes, prior)
    z, wanted, columns = logits.double().numpy(), np.asarray(prior), list(classes)

    def moved(bias: np.ndarray) -> np.ndarray:
        made = z.copy()
        made[:, columns] += bias
        return made

    def value(bias: np.ndarray) -> float:
        return float(_logsumexp(moved(bias)).mean() - wanted @ bias)

    def share(bias: np.ndarray) -> np.ndarray:
        made = moved(bias)
        return np.exp(made[:, columns] - _logsumexp(made)[:, None])

    def slope(bias: np.ndarray) -> np.ndarray:
        return share(bias).mean(0) - wanted

    def curvature(bias: np.ndarray) -> np.ndarray:
        p = share(bias)
        return np.diag(p.mean(0)) - p.T @ p / len(p)

    found = minimize(
        value, np.zeros(len(columns)), jac=slope, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    )
    if np.abs(slope(found.x)).max() > 1e-6:
        raise ModelError(f"no biases of the classes {columns} give the mean prediction {list(prior)}: {found.message}")
    return [float(bias) for bias in found.x]


def best_on_test(predictions: Predictions, classes: Sequence[int], offsets: Sequence[float]) -> float:
    """The one offset of these classes' biases with the fewest errors: the paper's way, with the help of test labels.

    Args:
        predictions: on the test split.
        classes: whose biases move together.
        offsets: to choose from; among equals the one nearest to 0 wins.
    """
    counts = {offset: int(_wrong(with_bias(predictions, classes, [offset] * len(classes)))) for offset in offsets}
    return min(counts, key=lambda offset: (counts[offset], abs(offset)))


def with_bias(predictions: Predictions, classes: Sequence[int], bias: Sequence[float]) -> Predictions:
    """The predictions of the same network with other biases.

    Args:
        predictions: of the network as it is.
        classes: whose biases change.
        bias: what is added to each.
    """
    logits = predictions.logits.clone()
    logits[:, list(classes)] += torch.tensor(list(bias), dtype=logits.dtype)
    return Predictions(logits=logits, labels=predictions.labels, ids=predictions.ids)


def _wrong(predictions: Predictions) -> Tensor:
    known = predictions.labelled()
    return (known.logits.argmax(1) != known.labels).sum()


def _logsumexp(z: np.ndarray) -> np.ndarray:
    top = z.max(1)
    found: np.ndarray = top + np.log(np.exp(z - top[:, None]).sum(1))
    return found


def _check(logits: Tensor, classes: Sequence[int], prior: Sequence[float]) -> None:
    if not len(logits):
        raise DataError("expected images to match a prior on, got none")
    if len(classes) != len(prior) or not classes or len(set(classes)) != len(classes):
        raise DataError(f"expected one share for each of some classes, got {len(classes)} classes, {len(prior)} shares")
    if len(classes) >= logits.shape[1]:
        raise DataError(
            f"expected some of {logits.shape[1]} classes to keep their biases, got {len(classes)} to change"
        )
    if min(prior) <= 0 or sum(prior) >= 1:
        raise DataError(f"expected shares above 0 that leave something to the other classes, got {list(prior)}")
