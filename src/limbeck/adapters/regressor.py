"""From a student's features to the form of a teacher's: the regressors of hints."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.adapters.maps import as_map, map_channels, map_size, resized
from limbeck.adapters.maxout import Maxout
from limbeck.core.errors import MethodError
from limbeck.core.method import Shape
from limbeck.core.net import Net
from limbeck.core.taps import TapPath

Activation = Literal["auto", "relu", "maxout", "none"]
"""The non-linearity of the layer that gives the hint; `auto`: see `activation_for`."""
PIECES = 2
"""Of a maxout regressor."""


class Regressor(nn.Module):
    """A 1×1 convolution, after the map was brought to the size of the teacher's.

    Args:
        student: shape of the student's features.
        teacher: shape of the teacher's.
        activation: of the output.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...], *, activation: Activation) -> None:
        super().__init__()
        self.size = map_size(teacher)
        self.convolution, self.activation = _layers(student, teacher, kernel=(1, 1), activation=activation)

    def forward(self, features: Tensor) -> Float[Tensor, "b c h w"]:
        """The student's guess at the teacher's features."""
        return self.activation(self.convolution(resized(as_map(features), self.size)))


class ConvolutionalRegressor(nn.Module):
    """A convolution without padding whose kernel makes the student's map as small as the teacher's.

    Romero et al., arXiv:1412.6550, section 2.2: a kernel of N_g - N_h + 1 for sides N_g of the student's (guided) and
    N_h of the teacher's (hint) map.

    Args:
        student: shape of the student's features.
        teacher: shape of the teacher's.
        activation: of the output.

    Raises:
        MethodError: the student's map is smaller than the teacher's.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...], *, activation: Activation) -> None:
        super().__init__()
        own, other = map_size(student), map_size(teacher)
        if own[0] < other[0] or own[1] < other[1]:
            raise MethodError(
                f"the student's map {own[0]}×{own[1]} is smaller than the teacher's {other[0]}×{other[1]}, and a "
                "convolution without padding only makes maps smaller; choose an earlier layer of the student, a later "
                "one of the teacher, or regressor: pointwise"
            )
        kernel = own[0] - other[0] + 1, own[1] - other[1] + 1
        self.convolution, self.activation = _layers(student, teacher, kernel=kernel, activation=activation)

    def forward(self, features: Tensor) -> Float[Tensor, "b c h w"]:
        """The student's guess at the teacher's features."""
        return self.activation(self.convolution(as_map(features)))


def activation_for(asked: Activation, teacher: Net, tap: str, shape: Shape) -> Activation:
    """The non-linearity of a regressor towards a hint.

    `auto`: maxout towards what a maxout layer gives, perhaps pooled; ReLU towards features that are nowhere negative on
    the example; otherwise none, because a ReLU could never give what is negative.

    Args:
        asked: by the user.
        teacher: gives the hint.
        tap: of the hint.
        shape: of the hint.
    """
    if asked != "auto":
        return asked
    if not TapPath.parse(tap).takes_input and isinstance(_last_layer(teacher.at(tap)), Maxout):
        return "maxout"
    return "relu" if shape.nonnegative else "none"


def _last_layer(module: nn.Module) -> nn.Module | None:
    """The last layer of a sequence that does more than pool."""
    if not isinstance(module, nn.Sequential):
        return module
    parts = [part for part in module if "pooling" not in type(part).__module__]
    return _last_layer(parts[-1]) if parts else None


def _layers(
    student: tuple[int, ...], teacher: tuple[int, ...], *, kernel: tuple[int, int], activation: Activation
) -> tuple[nn.Conv2d, nn.Module]:
    pieces = PIECES if activation == "maxout" else 1
    layers: dict[Activation, nn.Module] = {"relu": nn.ReLU(), "maxout": Maxout(PIECES), "none": nn.Identity()}
    return nn.Conv2d(map_channels(student), pieces * map_channels(teacher), kernel), layers[activation]
