"""One network's pass on a batch, as named tensors that can be stored, and back.

    output                                 the logits [n … c]
    top.classes, top.values, top.rest      instead of it: the k largest log-probabilities and the rest, with `top`
    taps/<path>                            what was recorded at a tap

With top-k, the kept classes have their own probabilities p_i and the rest r = 1 - Σ p_i is remembered as one number.
What comes back are dense logits: log p_i for the kept classes, log(r / (c - k)) for each of the others. Nothing is
renormalised: the distribution sums to one, and every kept class has the probability that the teacher gave it.

What is lost is how the teacher divided the rest, and that is a bias. At temperature 1 the restored distribution differs
from the teacher's by KL = r · (log(c - k) - H), where H is the entropy of the teacher's own division of the rest; so by
at most r · log(c - k). At a higher temperature the rest counts for more, and so does its being flat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limbeck.core.errors import RunError
from limbeck.core.forward_pass import ForwardPass

TAP = "taps/"


def packed(forward_pass: ForwardPass, *, dtype: torch.dtype, top: int | None, rows: int, who: str) -> dict[str, Tensor]:
    """The tensors to store, one row per sample.

    Args:
        forward_pass: whole, on a batch.
        dtype: of everything that is floating.
        top: how many log-probabilities to keep; absent = the logits.
        rows: samples in the batch.
        who: whose pass, for messages.

    Raises:
        RunError: something has no row per sample, or does not fit into the type.
    """
    output = forward_pass.output
    if not isinstance(output, Tensor):
        raise RunError(f"{who} gives a {type(output).__name__}; only tensors can be stored: teacher_outputs: live")
    made = {"output": output} if top is None else _top(output, top=top, who=who)
    made |= {f"{TAP}{path}": tensor for path, tensor in forward_pass.taps.items()}
    stored = {}
    for name, tensor in made.items():
        if tensor.ndim == 0 or len(tensor) != rows:
            raise RunError(
                f"{who}: {name} has shape {list(tensor.shape)} on a batch of {rows}; only tensors with one row per "
                "sample can be stored: teacher_outputs: live"
            )
        stored[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if tensor.is_floating_point() and not bool(stored[name].isfinite().all()):
            kind = str(dtype).removeprefix("torch.")
            raise RunError(f"{who}: {name} is not finite as {kind}; try train.teacher_outputs.dtype: float32")
    return stored


def _top(logits: Float[Tensor, "*n c"], *, top: int, who: str) -> dict[str, Tensor]:
    classes = logits.shape[-1]
    if top >= classes:
        raise RunError(f"{who}: top {top} of {classes} classes leaves no rest; expected at most {classes - 1}, or none")
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    values, indices = log_p.topk(top, dim=-1)
    # from what is left, not as 1 - Σ p: that difference has no digits where the teacher is sure
    rest = log_p.scatter(-1, indices, -torch.inf).logsumexp(-1)
    return {"top.classes": indices.to(torch.int32), "top.values": values, "top.rest": rest}


def restored(
    stored: Mapping[str, Tensor], types: Mapping[str, torch.dtype], *, classes: int, until: str | None
) -> ForwardPass:
    """The pass again.

    Args:
        stored: the rows of the batch.
        types: tap -> its own type, in the order in which the network produced them.
        classes: columns of the output.
        until: the tap at which the pass stops.
    """
    taps: dict[str, Tensor] = {}
    for path, dtype in types.items():
        taps[path] = stored[f"{TAP}{path}"].to(dtype)
        if path == until:
            return ForwardPass(None, taps)
    return ForwardPass(_output(stored, classes=classes), taps)


def _output(stored: Mapping[str, Tensor], *, classes: int) -> Any:
    if "output" in stored:
        return stored["output"].float()
    return _dense(stored["top.classes"], stored["top.values"], stored["top.rest"], classes=classes)


def _dense(
    indices: Int[Tensor, "*n k"], values: Float[Tensor, "*n k"], rest: Float[Tensor, "*n"], *, classes: int
) -> Float[Tensor, "*n c"]:
    share = rest.float() - math.log(classes - indices.shape[-1])
    dense = share[..., None].expand(*share.shape, classes)
    return dense.scatter(-1, indices.long(), values.float())
