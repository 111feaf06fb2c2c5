"""`NetAug`'s two terms equal an independent computation on slices of the supernet's tensors, value and gradient.

The network is written out twice: in torch, as a user would, and in NumPy, where each tensor is cut as published:
`W[:out, :in]`, depthwise `W[:c]`, BatchNorm `[:c]`, columns of the classifier `[:in]`, the gate's inner width from the
active one. The widths are drawn here from the step's own generator: stem, then the block's inside.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.widening import view_of
from limbeck.core.distiller import Distiller
from limbeck.methods.netaug import NetAug
from limbeck.tasks.classification import Classification
from reference import equations as eq
from reference.given import CLASSES, LABELS, Array, check

WIDTHS, EXPANDS, ALPHA = (1.0, 1.5, 2.0), (1.0, 2.0), 0.6
STEM, INSIDE, SQUEEZED = 2, 4, 2


class Network(nn.Module):
    """Stem, one inverted residual with a gate and a shortcut, mean, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, STEM, 3, padding=1)
        self.expand = nn.Conv2d(STEM, INSIDE, 1, bias=False)
        self.norm = nn.BatchNorm2d(INSIDE)
        self.depthwise = nn.Conv2d(INSIDE, INSIDE, 3, padding=1, groups=INSIDE, bias=False)
        self.reduce = nn.Conv2d(INSIDE, SQUEEZED, 1)
        self.excite = nn.Conv2d(SQUEEZED, INSIDE, 1)
        self.project = nn.Conv2d(INSIDE, STEM, 1, bias=False)
        self.fc = nn.Linear(STEM, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images).tanh()
        y = self.depthwise(self.norm(self.expand(x)).tanh())
        y = y * self.excite(self.reduce(y.mean((2, 3), keepdim=True)).tanh()).sigmoid()
        return self.fc((x + self.project(y)).mean((2, 3)))


def convolved(x: Array, weight: Array, *, groups: int = 1) -> Array:
    """A convolution that keeps the image's size."""
    kernel, side = weight.shape[2], x.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2))
    out = np.zeros((len(x), len(weight), side, side))
    for i in range(kernel):
        for j in range(kernel):
            window = padded[:, :, i : i + side, j : j + side]
            if groups == 1:
                out += np.einsum("bihw,oi->bohw", window, weight[:, :, i, j])
            else:
                out += window * weight[None, :, 0, i, j, None, None]
    return out


def column(bias: Array) -> Array:
    return bias[None, :, None, None]


def logits(tensors: dict[str, Array], images: Array, stem: int, inside: int) -> Array:
    """Of the network that has `stem` channels between and `inside` channels in its block."""
    t, squeezed = tensors, round(SQUEEZED / INSIDE * inside)
    x = np.tanh(convolved(images, t["stem.weight"][:stem]) + column(t["stem.bias"][:stem]))
    y = convolved(x, t["expand.weight"][:inside, :stem])
    mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
    y = (y - column(mean)) / np.sqrt(column(variance) + 1e-5)
    y = np.tanh(y * column(t["norm.weight"][:inside]) + column(t["norm.bias"][:inside]))
    y = convolved(y, t["depthwise.weight"][:inside], groups=inside)
    pooled = y.mean((2, 3), keepdims=True)
    gate = np.tanh(convolved(pooled, t["reduce.weight"][:squeezed, :inside]) + column(t["reduce.bias"][:squeezed]))
    gate = convolved(gate, t["excite.weight"][:inside, :squeezed]) + column(t["excite.bias"][:inside])
    y = y / (1 + np.exp(-gate))
    x = x + convolved(y, t["project.weight"][:stem, :inside])
    return x.mean((2, 3)) @ t["fc.weight"][:, :stem].T + t["fc.bias"]


def distilled(**arguments: float) -> Distiller:
    torch.manual_seed(0)
    method = NetAug(widths=WIDTHS, expands=EXPANDS, alpha=ALPHA, **arguments)
    found = Distiller(method, Classification(), {"student": Network()}, batch(torch.float32)).double()
    for parameter in found.parameters():
        nn.init.normal_(parameter, std=0.7)
    return found.train()


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    images = torch.randn(len(LABELS), 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return images.to(dtype), torch.from_numpy(LABELS)


@pytest.mark.parametrize(("step", "until"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (2, 0.5)])
def test_the_sum_equals_the_equation(step: int, until: float) -> None:
    found = distilled(width_until=until)
    rng = Random(f"0/main/{step}")
    width, expand = rng.choice(WIDTHS if step / 4 < until else (1.0,)), rng.choice(EXPANDS)
    stem = round(width * STEM)
    inside = round(expand * INSIDE / STEM * stem)
    named = {
        name.removeprefix("nets.student.model.").replace(".layer.", "."): parameter
        for name, parameter in found.named_parameters()
    }
    assert named["expand.weight"].shape == (16, 4, 1, 1)
    images = batch()[0].numpy()

    def expected(*arrays: Array) -> float:
        tensors = dict(zip(named, arrays, strict=True))
        own = eq.hard_term(logits(tensors, images, STEM, INSIDE), LABELS).mean()
        wide = eq.hard_term(logits(tensors, images, stem, inside), LABELS).mean()
        return own + ALPHA * wide

    (at,) = found.turns(step, 4, epoch=0.0)
    check(torch.stack(list(found(batch(), at).values())).sum(), list(named.values()), expected)


def test_the_drawn_networks_differ_from_step_to_step() -> None:
    found, drawn = distilled(width_until=1.0), set()
    for step in range(4):
        (at,) = found.turns(step, 4, epoch=step / 10)
        found(batch(), at)
        drawn.add(tuple(view_of(found["wide"].model).sizes.values()))
    assert len(drawn) >= 3
