"""Max-norm: the incoming weights of every unit stay within a ball.

    w_i <- w_i · min(1, c / |w_i|₂)        after every optimiser step

w_i are the incoming weights of unit i: a row of a linear layer, an output filter of a convolution, over all of its
input channels and taps; the bias is not among them. Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov,
"Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014), section 5.1: together with
dropout it allows learning rates at which the weights would otherwise blow up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import TrainingError
from limbeck.core.net import Kind
from limbeck.core.plan import Stage

_Layer = nn.Linear | nn.modules.conv._ConvNd
_Transposed = nn.modules.conv._ConvTransposeNd


@dataclass(frozen=True)
class MaxNorm:
    """Weights and the largest norm of their units.

    Args:
        layers: whose weights are limited.
        limit: c, above 0.
    """

    layers: Sequence[_Layer]
    limit: float

    @classmethod
    def of(cls, distiller: Distiller, stage: Stage, limit: float | None) -> MaxNorm:
        """The layers of the trained networks whose weights a stage changes; none without a limit.

        Raises:
            TrainingError: there is a limit, and nothing that it could limit.
        """
        if limit is None:
            return cls((), 1.0)
        changed = {id(parameter) for group in distiller.param_groups(stage) for parameter in group["params"]}
        nets = [distiller[role] for role in distiller.nets]
        modules = [module for net in nets if net.kind is Kind.TRAINED for module in net.model.modules()]
        layers = [one for one in modules if isinstance(one, _Layer) and id(one.weight) in changed]
        if not layers:
            raise TrainingError(
                f"train.max_norm: {limit:g}, but stage {stage.name!r} trains no weight of a linear layer or a "
                "convolution; leave train.max_norm out"
            )
        return cls(layers, limit)

    @torch.no_grad()
    def keep(self) -> None:
        """Scale every unit that has left the ball back to its surface; layers without a gradient have not moved."""
        for layer in self.layers:
            if layer.weight.grad is None:
                continue
            weight, incoming = _by_unit(layer)
            norms = torch.linalg.vector_norm(weight, dim=incoming, keepdim=True)
            weight.mul_((self.limit / norms).clamp(max=1))  # c / 0 is infinite: a unit without weights stays


def _by_unit(layer: _Layer) -> tuple[Tensor, list[int]]:
    """A layer's weights, not a copy, and the axes along which lies what comes into one unit."""
    if not isinstance(layer, _Transposed):
        return layer.weight, list(range(1, layer.weight.ndim))
    # Stored as [in, out / groups, taps]: a unit is a group and one of its outputs, and sees that group's inputs only.
    grouped = layer.weight.unflatten(0, (layer.groups, -1))
    return grouped, [1, *range(3, grouped.ndim)]
