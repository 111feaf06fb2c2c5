"""Channel shuffle, which both ShuffleNets use."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class ChannelShuffle(nn.Module):
    """Deal the channels of each group out to all groups: channel i·(c/g) + j goes to j·g + i.

    Args:
        groups: g; divides the number of channels.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The same channels in another order."""
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        """Shown by print(network)."""
        return f"groups={self.groups}"
