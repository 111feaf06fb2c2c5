"""What one forward pass of one network gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class ForwardPass:
    """The output of a network on a batch, and the tensors recorded at its taps.

    Args:
        output: whatever the task's `run` returned; `None` when the pass stopped early at a tap.
        taps: tap path -> recorded tensor, in the order in which the network produced them.
    """

    output: Any
    taps: Mapping[str, Tensor]
