"""Networks made of networks, which say as plain data how they are made, so that a file of weights can be read again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from limbeck.core.bridge import inner


@runtime_checkable
class Several(Protocol):
    """Networks that answer as one, side by side, such as an ensemble."""

    def representative(self) -> nn.Module:
        """The one that stands for all of them where layers are looked for."""


class Assembled(nn.Module):
    """A network that a method assembles to deliver: an ensemble, a network with early exits, a gated one.

    A run records the class of what it delivered, its `facts` and, by name, its `parts`; `assemble` makes the same
    network from them, and the weights are then loaded into it.
    """

    @property
    def leaves_early(self) -> bool:
        """Whether it decides from sample to sample how far it runs."""
        return False

    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """Name -> a network that this one is made of: one of the method's roles, or one with the same weights' names.

        Their weights need not be where the part has them in this network; only how they are built is recorded.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """The other arguments of `assemble`, as plain data (numbers, strings, lists and dicts of them)."""

    @classmethod
    @abstractmethod
    def assemble(cls, parts: Mapping[str, nn.Module], example: Tensor, **facts: Any) -> Assembled:
        """The network again, from parts built anew and its `facts`; its weights are loaded afterwards.

        Args:
            parts: as `parts` gave them, each with its preprocessing: they take pixels in [0, 1].
            example: two blank images, as the network takes them.
            facts: as `facts` gave them.
        """


def leaves_early(network: nn.Module) -> bool:
    """Whether a network, in a bridge or not, decides from sample to sample how far it runs."""
    found = inner(network)
    return isinstance(found, Assembled) and found.leaves_early
