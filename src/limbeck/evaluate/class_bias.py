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
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from limbeck.core.errors import DataError, ModelError
from limbeck.evaluate.predictions import Predictions

_EXACT = 1e-6
"""How far the mean prediction may be from the prior."""


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
    convex = _Convex(logits.double().numpy(), list(classes), np.asarray(prior, dtype=np.float64))
    start, options = np.zeros(len(classes)), {"gtol": _EXACT / 100}
    found = minimize(
        convex.value, start, jac=convex.slope, hess=convex.curvature, method="trust-exact", options=options
    )
    if np.abs(convex.slope(found.x)).max() > _EXACT:
        raise ModelError(
            f"no biases of the classes {convex.classes} give the mean prediction {list(prior)}: {found.message}"
        )
    return [float(bias) for bias in found.x]


@dataclass(frozen=True, eq=False)
class _Convex:
    """The function of the biases whose slope is to be zero.

    Args:
        logits: [n c].
        classes: the k columns that get a bias.
        prior: [k].
    """

    logits: np.ndarray
    classes: list[int]
    prior: np.ndarray

    def _moved(self, bias: np.ndarray) -> np.ndarray:
        made = self.logits.copy()
        made[:, self.classes] += bias
        return made

    def value(self, bias: np.ndarray) -> float:
        return float(_logsumexp(self._moved(bias)).mean() - self.prior @ bias)

    def _shares(self, bias: np.ndarray) -> np.ndarray:
        """[n k], the predictions of these classes."""
        made = self._moved(bias)
        shares: np.ndarray = np.exp(made[:, self.classes] - _logsumexp(made)[:, None])
        return shares

    def slope(self, bias: np.ndarray) -> np.ndarray:
        slope: np.ndarray = self._shares(bias).mean(0) - self.prior
        return slope

    def curvature(self, bias: np.ndarray) -> np.ndarray:
        p = self._shares(bias)
        curvature: np.ndarray = np.diag(p.mean(0)) - p.T @ p / len(p)
        return curvature


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
