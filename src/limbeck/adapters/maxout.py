"""Maxout: Goodfellow et al., "Maxout Networks", ICML 2013, arXiv:1302.4389."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


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
        largest, *others = x.unflatten(1, (-1, self.pieces)).unbind(2)
        for other in others:
            # max(a, b) = a + relu(b - a), but for rounding; on a CPU this takes a third of the time of torch's maximum,
            # forward and backward, and a sixth of that of its amax over an axis of two
            largest = largest + F.relu(other - largest)
        return largest

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"pieces={self.pieces}"
