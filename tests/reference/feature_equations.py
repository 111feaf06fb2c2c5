"""Losses between features in NumPy float64, each written from its paper and from nothing else.

Features are [b c h w]: b examples, c channels, h × w places. Loops and explicit sums, no code of limbeck or torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reference import equations as eq

Array = NDArray[np.float64]


def hint_loss(u: Array, r: Array) -> float:
    """FitNets (arXiv:1412.6550) Eq. 3: ½ ‖u - r‖², summed over channels, the mean over places and examples."""
    examples, _, height, width = u.shape
    total = 0.0
    for x in range(examples):
        for s in range(height):
            for t in range(width):
                total += 0.5 * sum(d * d for d in u[x, :, s, t] - r[x, :, s, t])
    return total / (examples * height * width)


def convolution(x: Array, weight: Array, bias: Array) -> Array:
    """A convolution without padding: out[o, s, t] = bias[o] + Σ_{i, a, b} weight[o, i, a, b] · x[i, s + a, t + b]."""
    down, right = weight.shape[2:]
    height, width = x.shape[2] - down + 1, x.shape[3] - right + 1
    out = np.zeros((len(x), len(weight), height, width)) + bias[None, :, None, None]
    for a in range(down):
        for b in range(right):
            out += np.einsum("xist,oi->xost", x[:, :, a : a + height, b : b + width], weight[:, :, a, b])
    return out


def activated(x: Array, activation: str) -> Array:
    """ReLU, the largest of two neighbouring channels, or nothing."""
    if activation == "maxout":
        return np.stack([np.maximum(x[:, c], x[:, c + 1]) for c in range(0, x.shape[1], 2)], axis=1)
    return np.maximum(x, 0) if activation == "relu" else x


def pooled(x: Array, size: tuple[int, ...], reduce=np.mean) -> Array:
    """The mean (or maximum) of each block of places; sides are multiples of the new ones."""
    down, right = x.shape[2] // size[0], x.shape[3] // size[1]
    out = np.zeros((*x.shape[:2], *size))
    for s in range(size[0]):
        for t in range(size[1]):
            out[:, :, s, t] = reduce(x[:, :, s * down : (s + 1) * down, t * right : (t + 1) * right], axis=(2, 3))
    return out


def cross_entropy(p: Array, q: Array) -> float:
    """H(p, q) = -Σ_i p_i log q_i, the mean over examples."""
    return -sum(a * np.log(b) for a, b in zip(p.ravel(), q.ravel(), strict=True)) / len(p)


def soft_loss(z: Array, v: Array, labels: NDArray[np.int64], *, temperature: float, weight: float) -> float:
    """FitNets Eq. 2: H(y, P_S) + λ · H(P_T^τ, P_S^τ), without the part of the second that no student changes."""
    own, other = eq.softened(z, temperature), eq.softened(v, temperature)
    soft = cross_entropy(other, own) - cross_entropy(other, other)
    return eq.hard_term(z, labels).mean() + weight * soft


def fall(fraction: float, *, start: float, end: float, anneal: float) -> float:
    """λ: from start to end on a line, which it reaches when `anneal` of the stage is done."""
    return start - (start - end) * fraction / anneal if fraction < anneal else end


def flow(first: Array, last: Array) -> Array:
    """FSP (Yim et al., CVPR 2017) Eq. 1: G_ij = Σ_{s,t} F¹_{s,t,i} · F²_{s,t,j} / (h · w), larger maps max-pooled."""
    size = tuple(min(sides) for sides in zip(first.shape[2:], last.shape[2:], strict=True))
    first, last = pooled(first, size, np.max), pooled(last, size, np.max)
    matrix = np.zeros((len(first), first.shape[1], last.shape[1]))
    for s in range(size[0]):
        for t in range(size[1]):
            matrix += first[:, :, None, s, t] * last[:, None, :, s, t]
    return matrix / (size[0] * size[1])


def flow_loss(student: list[Array], teacher: list[Array]) -> float:
    """FSP Eq. 2: 1/N · Σ_x Σ_l ‖G_l^T - G_l^S‖²_F."""
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        for x in range(len(own)):
            total += sum(d * d for d in (other[x] - own[x]).ravel())
    return total / len(student[0])


def attention(features: Array, power: float) -> Array:
    """Zagoruyko and Komodakis (arXiv:1612.03928), section 3.1: Σ_c |A_c|^p as a vector of length 1."""
    rows = []
    for example in features:
        looks = np.zeros(example.shape[1:])
        for channel in example:
            looks += np.abs(channel) ** power
        rows.append(looks.ravel() / np.sqrt(sum(q * q for q in looks.ravel())))
    return np.stack(rows)


def attention_loss(student: Array, teacher: Array, power: float) -> float:
    """arXiv:1612.03928, Eq. 2 as its authors compute it: the mean of squared differences over examples and places."""
    size = tuple(min(sides) for sides in zip(student.shape[2:], teacher.shape[2:], strict=True))
    own, other = (attention(pooled(x, size), power) for x in (student, teacher))
    return sum(d * d for d in (own - other).ravel()) / own.size


def similarity(features: Array) -> Array:
    """Tung and Mori (arXiv:1907.09682), Eqs. 1 and 2: Q · Qᵀ, each row divided by its length."""
    flat = [example.ravel() for example in features]
    matrix = np.array([[sum(a * b for a, b in zip(q, k, strict=True)) for k in flat] for q in flat])
    return np.stack([row / np.sqrt(sum(g * g for g in row)) for row in matrix])


def similarity_loss(student: Array, teacher: Array) -> float:
    """arXiv:1907.09682, Eq. 4: ‖G_T - G_S‖²_F / b²."""
    return sum(d * d for d in (similarity(teacher) - similarity(student)).ravel()) / len(student) ** 2
