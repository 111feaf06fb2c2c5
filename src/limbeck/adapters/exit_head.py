"""A classifier on features from inside a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.adapters.maps import as_map, check_maps, map_channels, map_size
from limbeck.core.errors import MethodError
from limbeck.core.method import Shape


class ExitHead(nn.Module):
    """A bottleneck to the form of the deepest features, the mean over places, a linear layer.

    Zhang et al., "Be Your Own Teacher", arXiv:1905.08094, section 3. The bottleneck is 1×1 to a quarter of the deepest
    channels, k×k with stride k to the deepest size, 1×1 to the deepest channels; BatchNorm follows each convolution,
    and ReLU each but the last, where it follows if the deepest features are not negative. With sides that k does not
    divide, the stride is the quotient and the kernel is as much larger as it must be.

    Args:
        features: shape of the features, examples left out: a map [c h w], tokens [n c] or a vector [c].
        deepest: shape of the network's deepest features, in the same way.
        classes: number of logits.
        nonnegative: whether the deepest features are nowhere negative.

    Raises:
        MethodError: the features cannot be laid out as a map, or it is smaller than the deepest one.
    """

    def __init__(
        self, features: Sequence[int], deepest: Sequence[int], *, classes: int, nonnegative: bool = True
    ) -> None:
        super().__init__()
        self.features, self.deepest = tuple(features), tuple(deepest)
        self.classes, self.nonnegative = classes, nonnegative
        own, other = (map_size((1, *shape)) for shape in (self.features, self.deepest))
        if own[0] < other[0] or own[1] < other[1]:
            raise MethodError(
                f"features of {own[0]}×{own[1]} places are fewer than the deepest ones, {other[0]}×{other[1]}; an exit "
                "stands where maps are still large"
            )
        stride = own[0] // other[0], own[1] // other[1]
        kernel = own[0] - (other[0] - 1) * stride[0], own[1] - (other[1] - 1) * stride[1]
        inputs, width = (map_channels((1, *shape)) for shape in (self.features, self.deepest))
        middle = max(width // 4, 1)
        self.bottleneck = nn.Sequential(
            *(nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU()),
            *(_Single(middle, middle, kernel, stride, bias=False), nn.BatchNorm2d(middle), nn.ReLU()),
            *(nn.Conv2d(middle, width, 1, bias=False), nn.BatchNorm2d(width)),
            nn.ReLU() if nonnegative else nn.Identity(),
        )
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b c"]]:
        """The feature F and the logits z of each example."""
        feature = pooled(self.bottleneck(as_map(features)))
        return feature, self.classifier(feature)

    def facts(self) -> dict[str, Any]:
        """The arguments of which a head like this is made, as plain data."""
        shapes = {"features": list(self.features), "deepest": list(self.deepest)}
        return {**shapes, "classes": self.classes, "nonnegative": self.nonnegative}


class _Single(nn.Conv2d):
    """A convolution that a CPU computes in single precision.

    In bfloat16 torch 2.14.1 computes something else on CPUs with AMX where the stride is the kernel, of at least 4, and
    there are 8 to 24 channels: a head learns with it, and is wrong wherever the same weights run in another way.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def pooled(features: Tensor) -> Float[Tensor, "b d"]:
    """The mean of features over their places: a map's, or those of tokens without class tokens."""
    return as_map(features).mean((2, 3))


def heads_for(taps: Sequence[str], shapes: Mapping[str, Shape], output: tuple[int, ...] | None) -> list[ExitHead]:
    """A head for every tap but the last, which gives the deepest features.

    Args:
        taps: of one network, shallow before deep.
        shapes: at its taps, in the order in which a pass reaches them.
        output: shape of the network's output.

    Raises:
        MethodError: the taps are in another order, one gives no map, or the output is not one row of logits per sample.
    """
    twice = [path for path in taps if list(taps).count(path) > 1]
    if twice:
        raise MethodError(f"expected modules for the exits and another one for the deepest map, got {twice[0]!r} twice")
    reached = [path for path in shapes if path in taps]
    if reached != list(taps):
        raise MethodError(
            f"expected exits from shallow to deep and the deepest map behind them, got {', '.join(taps)}, which a pass "
            f"reaches in the order {', '.join(reached)}"
        )
    if output is None or len(output) != 2:
        raise MethodError(f"exits give one row of logits per sample, as the network should; it gives {output}")
    check_maps({"student": taps}, {"student": shapes})
    *own, deepest = (shapes[path] for path in taps)
    made = []
    for path, shape in zip(taps, own, strict=False):
        try:
            made.append(ExitHead(shape[1:], deepest[1:], classes=output[1], nonnegative=deepest.nonnegative))
        except MethodError as error:
            raise MethodError(f"exit at {path!r}: {error}") from None
    return made
