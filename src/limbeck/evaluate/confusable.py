"""Which classes a network confuses: subsets of classes for specialists, found without any label.

G. Hinton, O. Vinyals, J. Dean, arXiv:1503.02531, section 5.2: clusters of the columns of the covariance matrix of a
generalist's predictions. Classes that are often predicted together have columns that are alike.

Differs from the paper: k-means runs on the whole matrix instead of online; and its clusters, whose sizes are as they
come, only give the centres. Classes are then dealt out so that each subset has the wanted size and each class is in at
least one, with the largest sum of inner products between columns and centres. (A column's squared distance to a centre
is the same for all centres but for twice this product and the centre's own length, so without limits on the sizes this
would be k-means' own assignment up to the lengths of the centres.) The paper does not say how its subsets of 300
classes came from its clusters.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from limbeck.core.errors import ModelError


def confusable_classes(
    logits: Float[Tensor, "n c"], *, specialists: int, size: int, seed: int = 0
) -> tuple[tuple[int, ...], ...]:
    """A subset of classes for each specialist; classes that are confused with each other are together.

    Another seed gives other subsets, so several calls cover every class several times.

    Args:
        logits: what the generalist says about images, of which no label is needed.
        specialists: how many subsets.
        size: of each subset.
        seed: of k-means.

    Raises:
        ModelError: so many subsets of this size cannot cover all classes, or are larger than their number.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans

    classes = logits.shape[1]
    check_cover(classes, specialists=specialists, size=size)
    columns = prediction_covariance(logits).numpy()
    centres = KMeans(specialists, n_init=10, random_state=seed).fit(columns).cluster_centers_
    products = columns @ centres.T
    slots = np.repeat(np.arange(specialists), size)
    rows, taken = linear_sum_assignment(products[:, slots], maximize=True)
    member = np.zeros((classes, specialists), dtype=bool)
    member[rows, slots[taken]] = True
    for one in range(specialists):  # places that are left go to the classes that vary most with the cluster
        left = size - int(member[:, one].sum())
        best = np.argsort(np.where(member[:, one], -np.inf, products[:, one]))[::-1]
        member[best[:left], one] = True
    return tuple(tuple(np.flatnonzero(member[:, one]).tolist()) for one in range(specialists))


def check_cover(classes: int, *, specialists: int, size: int) -> None:
    """Raise ModelError if so many subsets of this size cannot cover all classes, or are larger than their number."""
    if specialists < 1 or size > classes or specialists * size < classes:
        raise ModelError(
            f"{specialists} specialists with {size} classes each cannot cover {classes} classes; expected "
            f"at most {classes} classes each, and {classes} or more together"
        )


def prediction_covariance(logits: Float[Tensor, "n c"]) -> Float64[Tensor, "c c"]:
    """The covariance of the classes' probabilities over images.

    Args:
        logits: one row per image.
    """
    return torch.cov(logits.double().softmax(-1).T, correction=0)
