"""The first step of every stage, tried before anything is trained: what the last stage cannot do is found at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError, TrainingError
from limbeck.core.net import Kind, digest
from limbeck.core.plan import At

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def try_out(distiller: Distiller, batch: Any, *, precision: str = "fp32") -> None:
    """Walk through the turns of all stages once, forward and backward, without an optimiser.

    Running statistics move, and a method may act after its steps, so this distiller is not to be trained afterwards.

    Args:
        distiller: is used up.
        batch: a few samples, on the device of the networks.
        precision: fp32, bf16 or fp16, as in training.

    Raises:
        MethodError: a turn's terms are no named numbers, or none of them depends on what it trains.
        TrainingError: a frozen network changes when it runs.
    """
    distiller.train()
    before = _digests(distiller)
    for phase, stage in enumerate(distiller.method.plan()):
        for at in distiller.turns(0, 1, stage=stage, phase=phase, epoch=0.0):
            place = _place(distiller, at)
            with _noted(place):
                loss = _objective(distiller, batch, at, precision=precision, place=place)
                loss.backward()
                _check_reached(distiller, at, place)
            distiller.zero_grad(set_to_none=True)
    changed = [role for role, known in _digests(distiller).items() if known != before[role]]
    if changed:
        raise TrainingError(
            f"the frozen network of {changed[0]!r} changes its own parameters or buffers when it runs, though it is in "
            "eval mode; let its forward change them in train mode only"
        )


def _objective(distiller: Distiller, batch: Any, at: At, *, precision: str, place: str) -> Tensor:
    device = next(distiller.parameters()).device.type
    with torch.autocast(device, _TYPES.get(precision), enabled=precision in _TYPES):
        terms: Any = distiller(batch, at)
    if not isinstance(terms, Mapping) or not terms:
        raise MethodError(f"{place}: expected at least one named loss term, as in {{'task': loss}}; got {terms!r}")
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.shape != ():
            came = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise MethodError(f"{place}: expected a number as loss term {name!r}, a tensor of shape []; got {came}")
    loss = reduce(add, terms.values())
    if not loss.requires_grad:
        raise MethodError(f"{place}: no loss term ({', '.join(terms)}) depends on {_trained(at)}, which it is to train")
    return loss


def _check_reached(distiller: Distiller, at: At, place: str) -> None:
    """Adapters may have a gradient where the network beside them has none; then nothing is learnt."""
    for path in at.turn.rates:
        parameters = distiller.parameters_of(path)
        if parameters and all(parameter.grad is None for parameter in parameters):
            raise MethodError(f"{place}: no loss term depends on {path!r}, which it is to train")


def _digests(distiller: Distiller) -> dict[str, str]:
    nets = {role: distiller[role] for role in distiller.nets}
    return {role: digest(net.model) for role, net in nets.items() if net.kind is Kind.FROZEN}


def _place(distiller: Distiller, at: At) -> str:
    return f"{type(distiller.method).__name__}, stage {at.stage!r}, {at.turn.terms}"


def _trained(at: At) -> str:
    return ", ".join(repr(path) for path in at.turn.rates)


@contextmanager
def _noted(place: str) -> Iterator[None]:
    """Errors of others keep their type and their traceback, and tell where they came up."""
    try:
        yield
    except Exception as error:
        error.add_note(f"This is the first step of {place}, tried before anything is trained.")
        raise
