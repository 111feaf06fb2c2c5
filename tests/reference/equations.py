"""Hinton, Vinyals, Dean (arXiv:1503.02531) in NumPy float64, written from the paper and from nothing else.

z [b c] student's logits, v [b c] teacher's logits, T temperature. Loops and explicit sums, no code of limbeck or torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softened(logits: Array, temperature: float) -> Array:
    """Eq. 1: q_i = exp(z_i / T) / Σ_j exp(z_j / T)."""
    shifted = (logits - logits.max(axis=1, keepdims=True)) / temperature
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def kl(p: Array, q: Array) -> Array:
    """Σ_i p_i log(p_i / q_i) of each row."""
    return np.array(
        [sum(a * (np.log(a) - np.log(b)) for a, b in zip(*row, strict=True)) for row in zip(p, q, strict=True)]
    )


def soft_term(z: Array, v: Array, temperature: float) -> Array:
    """T² KL(p ‖ q) of each row."""
    return temperature**2 * kl(softened(v, temperature), softened(z, temperature))


def soft_gradient(z: Array, v: Array, temperature: float) -> Array:
    """Eq. 2 times T², for the mean over rows: ∂C/∂z_i = (q_i - p_i) / T."""
    difference = softened(z, temperature) - softened(v, temperature)
    return temperature**2 * (difference / temperature) / len(z)


def hard_term(z: Array, labels: NDArray[np.int64]) -> Array:
    """-log softmax(z)_y of each row, at T = 1; zero for a row without a label."""
    q = softened(z, 1.0)
    return np.array([0.0 if y < 0 else -np.log(row[y]) for row, y in zip(q, labels, strict=True)])


def smoothed_hard_term(z: Array, labels: NDArray[np.int64], smoothing: float) -> Array:
    """Cross-entropy against (1 - ε) onehot + ε / c; zero for a row without a label."""
    classes = z.shape[1]
    log_q = np.log(softened(z, 1.0))
    rows = []
    for row, y in zip(log_q, labels, strict=True):
        target = np.full(classes, smoothing / classes)
        if y >= 0:
            target[y] += 1 - smoothing
        rows.append(0.0 if y < 0 else -(target * row).sum())
    return np.array(rows)


def logit_limit(z: Array, v: Array) -> Array:
    """The limit of T² KL for high T: 1 / (2 c) Σ_i ((z_i - mean z) - (v_i - mean v))² of each row."""
    centred = (z - z.mean(axis=1, keepdims=True)) - (v - v.mean(axis=1, keepdims=True))
    return (centred**2).sum(axis=1) / (2 * z.shape[1])


def numeric_gradient(function, z: Array, step: float = 1e-6) -> Array:
    """Central differences of a scalar function of z."""
    gradient = np.zeros_like(z)
    for place in np.ndindex(*z.shape):
        up, down = z.copy(), z.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient
