"""Born-again networks (1805.04770), mutual learning (1706.00384) and native ensembles (1806.04606) in NumPy float64.

Written from the papers. z, v [b c] logits, y [b] labels (-100 = none). No code of limbeck or torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference.equations import Array, kl, softened


def label_losses(z: Array, labels: Array) -> Array:
    """-log p_y of each row; 0 without a label."""
    p = softened(z, 1.0)
    return np.array([-np.log(p[row, y]) if y >= 0 else 0.0 for row, y in enumerate(labels)])


def born_again(z: Array, v: Array) -> float:
    """KL(p ‖ q), the cross-entropy less what has no gradient, at temperature 1."""
    return float(kl(softened(v, 1.0), softened(z, 1.0)).mean())


def weighted_by_confidence(z: Array, v: Array, labels: Array) -> float:
    """Σ_s w_s CE_s with w_s = max_j p_sj / Σ_u max_j p_uj, both over the samples that have a label."""
    largest = [max(row) if y >= 0 else 0.0 for row, y in zip(softened(v, 1.0), labels, strict=True)]
    return sum(w / sum(largest) * loss for w, loss in zip(largest, label_losses(z, labels), strict=True))


def mutual(z: Array, peers: Sequence[Array], labels: Array) -> float:
    """CE + 1 / (K - 1) Σ KL(p_l ‖ p_k)."""
    own = softened(z, 1.0)
    return float(label_losses(z, labels).mean() + sum(kl(softened(v, 1.0), own).mean() for v in peers) / len(peers))


def mutual_with_mean(z: Array, peers: Sequence[Array], labels: Array) -> float:
    """CE + KL(mean of the peers' distributions ‖ p_k)."""
    mean = sum(softened(v, 1.0) for v in peers) / len(peers)
    return float(label_losses(z, labels).mean() + kl(mean, softened(z, 1.0)).mean())


def entropy(z: Array) -> float:
    """-Σ p log p, the mean over rows."""
    p = softened(z, 1.0)
    return float(-(p * np.log(p)).sum(axis=1).mean())


def gate(feature: Array, weight: Array, bias: Array) -> Array:
    """softmax(ReLU(BN(W f))), the normalisation with the batch's own mean and (biased) variance."""
    raw = feature @ weight.T + bias
    normal = (raw - raw.mean(axis=0)) / np.sqrt(raw.var(axis=0) + 1e-5)
    return softened(np.maximum(normal, 0.0), 1.0)


def native_ensemble(
    branches: Sequence[Array], weights: Array, target: Array, labels: Array, *, temperature: float, ramp: float = 1.0
) -> float:
    """Σ_k CE(z_k) + CE(z_e) + r Σ_k T² KL(p_e ‖ p_k); `target` is z_e as a constant."""
    total = label_losses(joined(branches, weights), labels).mean()
    for z in branches:
        soft = kl(softened(target, temperature), softened(z, temperature)).mean()
        total += label_losses(z, labels).mean() + ramp * temperature**2 * soft
    return float(total)


def joined(branches: Sequence[Array], weights: Array) -> Array:
    """z_e = Σ_k g_k z_k."""
    return sum(weights[:, k : k + 1] * z for k, z in enumerate(branches))
