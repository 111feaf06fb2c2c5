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


def try_out(distiller: Distiller, batch: Any, *, precision: str = "fp32") -> int:
    """Walk through the turns of all stages once, forward and backward, without an optimiser.

    Running statistics move, and a method may act after its steps, so this distiller is not to be trained afterwards.

    Args:
        distiller: is used up.
        batch: samples, on the device of the networks.
        precision: fp32, bf16 or fp16, as in training.

    Returns:
        How many stages there are.

    Raises:
        MethodError: a turn's terms are no named numbers, or none of them depends on anything that is trained.
        TrainingError: a frozen network changes when it runs.
        Exception: whatever terms and networks raise; a note says in which stage and turn.
    """
    distiller.train()
    before = _digests(distiller)
    stages = distiller.method.plan()
    for phase, stage in enumerate(stages):
        for at in _noted_turns(distiller, phase):
            with _noted(f"{stage.name!r}, {at.turn.terms}"):
                _objective(distiller, batch, at, precision=precision).backward()
            distiller.zero_grad(set_to_none=True)
    changed = [role for role, known in _digests(distiller).items() if known != before[role]]
    if changed:
        raise TrainingError(
            f"the frozen network of {changed[0]!r} changes its own parameters or buffers when it runs, though it is in "
            "eval mode; let its forward change them in train mode only"
        )
    return len(stages)


def _noted_turns(distiller: Distiller, phase: int) -> Iterator[At]:
    """The turns of a stage's first step; the method's `after_step` runs when they are over."""
    stage = distiller.method.plan()[phase]
    turns = distiller.turns(0, 1, stage=stage, phase=phase, epoch=0.0)
    while True:
        with _noted(f"{stage.name!r}, after_step"):
            at = next(turns, None)
        if at is None:
            return
        yield at


def _objective(distiller: Distiller, batch: Any, at: At, *, precision: str) -> Tensor:
    device = next(distiller.parameters()).device.type
    with torch.autocast(device, _TYPES.get(precision), enabled=precision in _TYPES):
        terms: Any = distiller(batch, at)
    if not isinstance(terms, Mapping) or not terms:
        raise MethodError(f"expected at least one named loss term, as in {{'task': loss}}; got {terms!r}")
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            came = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise MethodError(f"expected a number as loss term {name!r}, a tensor of shape []; got {came}")
    loss: Tensor = reduce(add, terms.values())
    if not loss.requires_grad:
        trained = ", ".join(map(repr, at.turn.rates))
        raise MethodError(f"no loss term ({', '.join(terms)}) depends on what is trained: {trained}")
    return loss


def _digests(distiller: Distiller) -> dict[str, str]:
    nets = {role: distiller[role] for role in distiller.nets}
    return {role: digest(net.model) for role, net in nets.items() if net.kind is Kind.FROZEN}


@contextmanager
def _noted(place: str) -> Iterator[None]:
    """Errors keep their type and their traceback, and tell where they came up."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in stage {place}")
        raise
