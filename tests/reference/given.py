"""Networks whose features and logits are parameters, so that terms can be differentiated by them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.core.distiller import Distiller
from limbeck.core.method import Method
from limbeck.tasks.classification import Classification
from reference import equations as eq

Array = NDArray[np.float64]
LABELS = np.array([2, -100, 0])
"""Of the three examples of every problem; the second has none."""
CLASSES = 4


class Given(nn.Module):
    """`layers.0`, `layers.1`, … give features that stand there whatever the images are, then come logits.

    Args:
        features: one array per layer.
        logits: [b c].
    """

    def __init__(self, features: Sequence[Array], logits: Array) -> None:
        super().__init__()
        self.features = nn.ParameterList([nn.Parameter(torch.from_numpy(values)) for values in features])
        self.logits = nn.Parameter(torch.from_numpy(logits))
        self.layers = nn.ModuleList(nn.Identity() for _ in features)

    def forward(self, images: Tensor) -> Tensor:
        for layer, values in zip(self.layers, self.features, strict=True):
            layer(values)
        return self.logits


def given(shapes: Sequence[tuple[int, ...]], *, seed: int) -> Given:
    """A network with features of these shapes, examples left out, drawn from a seed."""
    random = np.random.default_rng(seed)
    features = [random.standard_normal((len(LABELS), *shape)) for shape in shapes]
    return Given(features, 2 * random.standard_normal((len(LABELS), CLASSES)))


def distilled(method: Method, student: Given, teacher: Given) -> Distiller:
    """The method on two networks, in float64."""
    models = {"student": student, "teacher": teacher}
    return Distiller(method, Classification(), models, batch()).double()


def batch() -> tuple[Tensor, Tensor]:
    """Samples that nobody looks at, flat, so that they say nothing of the features' shapes; and the labels."""
    return torch.zeros(len(LABELS), 4, dtype=torch.float64), torch.from_numpy(LABELS)


def objective(found: Distiller, *, phase: int = 0, step: int = 0, steps: int = 4) -> Tensor:
    """The sum of all terms somewhere in training."""
    (at,) = found.turns(step, steps, phase=phase, epoch=step / steps)
    return torch.stack(list(found(batch(), at).values())).sum()


def values(model: Given) -> list[Array]:
    """A copy of a network's features."""
    return [features.detach().numpy().copy() for features in model.features]


def check(total: Tensor, tensors: Sequence[Tensor], expected: Callable[..., float]) -> None:
    """The total, and its gradient by each of the tensors, equal a NumPy function of them and its central differences.

    Args:
        total: by limbeck, from the tensors.
        tensors: what is differentiated by.
        expected: takes their values as arrays.
    """
    arrays = [tensor.detach().numpy().copy() for tensor in tensors]
    assert total.item() == pytest.approx(expected(*arrays), rel=1e-10)
    for place, gradient in enumerate(torch.autograd.grad(total, list(tensors))):
        slope = _slope(expected, arrays, place)
        assert np.abs(slope).max() > 1e-3  # else the comparison would say little
        np.testing.assert_allclose(gradient.numpy(), slope, rtol=1e-6, atol=1e-7 * np.abs(slope).max())


def _slope(expected: Callable[..., float], arrays: list[Array], place: int) -> Array:
    before, after = arrays[:place], arrays[place + 1 :]
    return eq.numeric_gradient(lambda x: expected(*before, x, *after), arrays[place], step=1e-5)
