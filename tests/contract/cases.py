"""Every method of limbeck, and the small ones of `methods.py`, with networks to run them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import nn

from contract.methods import Critic, Hint, Momentum, Peers, Ragged, Staged
from limbeck.core.distiller import Distiller
from limbeck.core.method import Method
from limbeck.core.net import Kind
from limbeck.methods import METHODS
from limbeck.methods.fsp import FSP
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch

ARGUMENTS: dict[str, dict[str, Any]] = {"compose": {"methods": (KD(), Hint())}}
"""Recipe name -> what its class cannot be built without. A method whose fields all have defaults needs no entry."""


def of_table(name: str) -> Method:
    """A method of limbeck by its recipe name."""
    file, _, title = METHODS[name].partition(":")
    return getattr(import_module(f"limbeck.methods.{file}"), title)(**ARGUMENTS.get(name, {}))


@dataclass(frozen=True)
class Case:
    """A method, and how to make a distiller of it; a frozen network is wider, unless it must not be."""

    name: str
    method: Method
    frozen_width: int = 12

    def models(self, *, make: Callable[..., nn.Module] = conv_net, **arguments: Any) -> dict[str, nn.Module]:
        """A network for each role that the method does not make itself."""
        kinds = {role: kind for role, kind in self.method.roles().items() if kind is not Kind.MOMENTUM}
        return {
            role: make(self.frozen_width if kind is Kind.FROZEN else 8, seed=seed, **arguments)
            for seed, (role, kind) in enumerate(sorted(kinds.items()))
        }

    def distiller(self, models: dict[str, nn.Module] | None = None, **arguments: Any) -> Distiller:
        """A new distiller; the same bits at every call."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            models = self.models(**arguments) if models is None else models
            return Distiller(self.method, Classification(), models, image_batch(4))


EQUALLY_WIDE = {"fsp"}
"""Methods that need as many channels in the teacher as in the student."""

CASES = [Case(name, of_table(name), frozen_width=8 if name in EQUALLY_WIDE else 12) for name in METHODS] + [
    Case("one-hint", Hint()),
    Case("fsp-shuffled", FSP(shuffle=True), frozen_width=8),
    Case("staged", Staged()),
    Case("peers-sequential", Peers()),
    Case("peers-simultaneous", Peers(simultaneous=True)),
    Case("critic-joint", Critic()),
    Case("critic-turns", Critic(joint=False)),
    Case("momentum", Momentum()),
    Case("ragged", Ragged()),
]
