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
    """A method, and how to make a distiller of it."""

    name: str
    method: Method

    def models(self, *, make: Callable[..., nn.Module] = conv_net, **arguments: Any) -> dict[str, nn.Module]:
        """A network for each role that the method does not make itself; a frozen one is wider."""
        kinds = {role: kind for role, kind in self.method.roles().items() if kind is not Kind.MOMENTUM}
        return {
            role: make(12 if kind is Kind.FROZEN else 8, seed=seed, **arguments)
            for seed, (role, kind) in enumerate(sorted(kinds.items()))
        }

    def distiller(self, models: dict[str, nn.Module] | None = None, **arguments: Any) -> Distiller:
        """A new distiller; the same bits at every call."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            models = self.models(**arguments) if models is None else models
            return Distiller(self.method, Classification(), models, image_batch(4))


CASES = [Case(name, of_table(name)) for name in METHODS] + [
    Case("hint", Hint()),
    Case("staged", Staged()),
    Case("peers-sequential", Peers()),
    Case("peers-simultaneous", Peers(simultaneous=True)),
    Case("critic-joint", Critic()),
    Case("critic-turns", Critic(joint=False)),
    Case("momentum", Momentum()),
    Case("ragged", Ragged()),
]
