"""Whether samples can leave inside a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.adapters.exits import modules_at, shrinking
from limbeck.core.errors import MethodError
from limbeck.core.mode import evaluating


def check_exits(network: nn.Module, at: Sequence[str], run: Callable[[nn.Module], Any]) -> None:
    """Find out whether samples can leave at these modules, by an example of which some leave.

    Nothing but the module's output may carry the batch on: a later layer that also sees an earlier tensor, as a skip
    connection around the module does, would join batches of different sizes.

    Args:
        network: with a bridge or without; its modes are restored.
        at: module paths.
        run: runs a network on an example of at least two samples.

    Raises:
        TapError: a path names no module.
        MethodError: a module runs never or several times in a pass, gives something other than one tensor, or is not
            the only way from what is before it to what comes after it. The tap is named.
    """
    with evaluating(network):
        whole = run(network)
        for path, module in zip(at, modules_at(network, at), strict=True):
            kept = _kept(path, module, len(whole), partial(run, network))
            if kept.shape != whole[1:].shape or not torch.allclose(kept, whole[1:], rtol=1e-3, atol=1e-3):
                raise _unfit(path, "the samples that stay get other answers when others have left")


def _kept(path: str, module: nn.Module, count: int, run: Callable[[], Any]) -> Tensor:
    """The output when the first sample leaves at a module."""
    calls = []

    def leave(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        calls.append(output)
        if len(calls) > 1:
            raise _unfit(path, "it runs several times in a pass")
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != count:
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise _unfit(path, f"it gives {given} for {count} samples, not one tensor [{count}, …]")
        return output[1:]

    handle = module.register_forward_hook(leave)
    try:
        with shrinking():
            output = run()
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _unfit(path, f"a later layer needs the whole batch as it was before ({reason})") from error
    finally:
        handle.remove()
    if not calls:
        raise _unfit(path, "it does not run")
    return output


def _unfit(path: str, reason: str) -> MethodError:
    return MethodError(
        f"no sample can leave at {path!r}: {reason}; choose a module whose output alone is passed on, such as the end "
        "of a stage"
    )
