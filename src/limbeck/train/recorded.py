"""One network's pass on a batch, as named tensors that can be stored, and back.

    output                                 the logits [n … c]
    top.classes, top.values, top.rest      instead of it: the k largest log-probabilities at T and the rest, with `top`
    sampled.classes                        instead of it: classes drawn from the distribution, with `sampled`
    taps/<path>                            what was recorded at a tap

With top-k, p = softmax(v / T) at the temperature T at which the network teaches. The kept classes have their own
probabilities p_i and the rest r = 1 - Σ p_i is remembered as one number. What comes back are dense logits: T log p_i
for the kept classes, T log(r / (c - k)) for each of the others. Nothing is renormalised: at T the distribution sums to
one, and every kept class has the probability that the teacher gave it.

What is lost is how the teacher divided the rest, and that is a bias. The restored distribution differs from the
teacher's by KL = r · (log(c - k) - H), where H is the entropy of the teacher's own division of the rest; so by at most
r · log(c - k). A rest is the larger the higher T is. At another temperature than T kept classes are not exact either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limbeck.core.errors import RunError
from limbeck.core.forward_pass import ForwardPass
from limbeck.losses.precision import wide
from limbeck.train.rowfile import CODES
from limbeck.train.sampled import from_draws

TAP = "taps/"
Draw = Callable[[Tensor], Tensor]
"""Logits [n *rows c] to classes [n *rows draws]."""


def packed(
    forward_pass: ForwardPass,
    *,
    dtype: torch.dtype,
    top: int | None = None,
    draw: Draw | None = None,
    temperature: float = 1.0,
    rows: int,
    who: str,
) -> dict[str, Tensor]:
    """The tensors to store, one row per sample.

    Args:
        forward_pass: whole, on a batch.
        dtype: of everything that is floating.
        top: how many log-probabilities to keep; absent = the logits.
        draw: draws classes from the distributions of the logits; they are kept instead.
        temperature: T of those log-probabilities.
        rows: samples in the batch.
        who: whose pass, for messages.

    Raises:
        RunError: something has no row per sample, or does not fit into the type.
    """
    output = forward_pass.output
    if not isinstance(output, Tensor):
        raise RunError(f"{who} gives a {type(output).__name__}; only tensors can be stored: teacher_outputs: live")
    whole = {"output": output, **{f"{TAP}{path}": tensor for path, tensor in forward_pass.taps.items()}}
    for name, tensor in whole.items():
        _check(tensor, name, rows=rows, who=who)
    if top is not None:
        whole = _top(whole.pop("output"), top=top, temperature=temperature, who=who) | whole
    elif draw is not None:
        _check_finite(output, "output", who)
        whole = {"sampled.classes": draw(whole.pop("output"))} | whole
    return {name: _as(tensor, dtype, name, who) for name, tensor in whole.items()}


def _check(tensor: Tensor, name: str, *, rows: int, who: str) -> None:
    if tensor.ndim == 0 or len(tensor) != rows:
        raise RunError(
            f"{who}: {name} has shape {list(tensor.shape)} on a batch of {rows}; only tensors with one row per "
            "sample can be stored: teacher_outputs: live"
        )
    if tensor.dtype not in CODES:
        raise RunError(f"{who}: {name} is {_name(tensor.dtype)}, which cannot be stored: teacher_outputs: live")


def _as(tensor: Tensor, dtype: torch.dtype, name: str, who: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.to(dtype)
    if not bool(stored.isfinite().all()):
        _check_finite(tensor, name, who)
        raise RunError(f"{who}: {name} is not finite as {_name(dtype)}; try train.teacher_outputs.dtype: float32")
    return stored


def _check_finite(tensor: Tensor, name: str, who: str) -> None:
    if not bool(tensor.isfinite().all()):
        raise RunError(f"{who}: {name} has values that are not finite, which cannot be stored: teacher_outputs: live")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _top(logits: Float[Tensor, "*n c"], *, top: int, temperature: float, who: str) -> dict[str, Tensor]:
    classes = logits.shape[-1]
    if top >= classes:
        raise RunError(f"{who}: top {top} of {classes} classes leaves no rest; expected at most {classes - 1}, or none")
    log_p = (wide(logits) / temperature).log_softmax(-1)
    values, indices = log_p.topk(top, dim=-1)
    # from what is left, not as 1 - Σ p: that difference has no digits where the teacher is sure
    rest = log_p.scatter(-1, indices, -torch.inf).logsumexp(-1)
    return {"top.classes": indices.to(torch.int32), "top.values": values, "top.rest": rest}


def restored(
    stored: Mapping[str, Tensor],
    types: Mapping[str, torch.dtype],
    *,
    classes: int,
    until: str | None,
    temperature: float | None = None,
) -> ForwardPass:
    """The pass again.

    Args:
        stored: the rows of the batch.
        types: tap -> its own type, in the order in which the network produced them.
        classes: columns of the output.
        until: the tap at which the pass stops.
        temperature: at which distributions were kept; absent = logits were.
    """
    taps: dict[str, Tensor] = {}
    for path, dtype in types.items():
        taps[path] = stored[f"{TAP}{path}"].to(dtype)
        if path == until:
            return ForwardPass(None, taps)
    return ForwardPass(_output(stored, classes=classes, temperature=temperature), taps)


def _output(stored: Mapping[str, Tensor], *, classes: int, temperature: float | None) -> Any:
    if "output" in stored:
        return stored["output"].float()
    temperature = 1.0 if temperature is None else temperature
    if "sampled.classes" in stored:
        return from_draws(stored["sampled.classes"], classes=classes, temperature=temperature)
    return temperature * _dense(stored["top.classes"], stored["top.values"], stored["top.rest"], classes=classes)


def _dense(
    indices: Int[Tensor, "*n k"], values: Float[Tensor, "*n k"], rest: Float[Tensor, "*n"], *, classes: int
) -> Float[Tensor, "*n c"]:
    share = rest.float() - math.log(classes - indices.shape[-1])
    dense = share[..., None].expand(*share.shape, classes)
    return dense.scatter(-1, indices.long(), values.float())
