"""Counting the floating-point operations of a call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operations(call: Callable[[], object]) -> int:
    """How many operations a call does; a multiply-accumulate counts as 2.

    Matrix products, convolutions and attention are counted, element-wise work is not.

    Args:
        call: runs networks, in whichever mode they are.
    """
    # Fused attention and the fused encoder layer are single operators that the counter does not know: it would
    # silently count nothing for them. Both are told to use plain matrix products instead.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            torch.compiler.set_stance("force_eager"),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops())
