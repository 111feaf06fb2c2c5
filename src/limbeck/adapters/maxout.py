"""Maxout: Goodfellow et al., "Maxout Networks", ICML 2013, arXiv:1302.4389."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Maxout(nn.Module):
    """The largest of so many neighbouring channels, for each group of them.

    Args:
        pieces: channels in a group.
    """

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Float[Tensor, "b kc *p"]) -> Float[Tensor, "b c *p"]:
        """A `pieces`-th of the channels."""
        return x.unflatten(1, (-1, self.pieces)).amax(2)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"pieces={self.pieces}"
