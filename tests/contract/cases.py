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
from limbeck.methods.born_again import BornAgain
from limbeck.methods.byot import BYOT
from limbeck.methods.dml import DML
from limbeck.methods.fsp import FSP
from limbeck.methods.kd import KD
from limbeck.methods.one import ONE
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch

ARGUMENTS: dict[str, dict[str, Any]] = {
    "compose": {"methods": (KD(), Hint())},
    "early_exit": {"cost": 0.6},
    "netaug": {"calibrate": 16},
}
"""Recipe name -> what its class cannot be built without, or would be slow without on eight samples."""


def of_table(name: str) -> Method:
    """A method of limbeck by its recipe name."""
    file, _, title = METHODS[name].partition(":")
    return getattr(import_module(f"limbeck.methods.{file}"), title)(**ARGUMENTS.get(name, {}))


MADE = {"wide"}
"""Trained roles whose network the method makes from the student."""


@dataclass(frozen=True)
class Case:
    """A method, and how to make a distiller of it; a frozen network is wider, unless it must not be."""

    name: str
    method: Method
    frozen_width: int = 12

    def models(self, *, make: Callable[..., nn.Module] = conv_net, **arguments: Any) -> dict[str, nn.Module]:
        """A network for each role that the method does not make itself."""
        roles = self.method.roles().items()
        kinds = {role: kind for role, kind in roles if kind is not Kind.MOMENTUM and role not in MADE}
        return {
            role: make(self.frozen_width if kind is Kind.FROZEN else 8, seed=seed, **arguments)
            for seed, (role, kind) in enumerate(sorted(kinds.items()))
        }

    def distiller(self, models: dict[str, nn.Module] | None = None, **arguments: Any) -> Distiller:
        """A new distiller; the same bits at every call."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            models = self.models(**arguments) if models is None else models
            found = Distiller(self.method, Classification(), models, image_batch(4))
        if not arguments.get("batch_norm", True):
            _leave_batch_norm_out(found.adapters)
        return found

    @property
    def of_limbeck(self) -> bool:
        """Whether it is no method of the tests."""
        return type(self.method).__module__.startswith("limbeck.")

    def normalises(self) -> bool:
        """Whether the method itself, not its networks, normalises over the batch."""
        found = self.distiller(batch_norm=False)
        return any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in found.modules())


def _leave_batch_norm_out(adapters: nn.Module) -> None:
    """As the networks do that are asked for without it."""
    for module in list(adapters.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())


EQUALLY_WIDE = {"fsp"}
"""Methods that need as many channels in the teacher as in the student."""

TRAINING = {name: method for name in METHODS if (method := of_table(name)).trains}
"""The methods of limbeck that train something."""

CASES = [Case(name, method, frozen_width=8 if name in EQUALLY_WIDE else 12) for name, method in TRAINING.items()] + [
    Case("byot-ensemble", BYOT(delivers="ensemble")),
    Case("one-hint", Hint()),
    Case("one-ungated", ONE(gate=False, delivers="ensemble")),
    Case("dml-of-three-at-once", DML(peers=3, updates="simultaneous", target="mean", delivers="ensemble")),
    *(Case(f"born_again-{variant}", BornAgain(variant=variant)) for variant in ("ban+l", "cwtm", "dkpp")),
    Case("one-ramped", ONE(ramp=1.5)),
    Case("fsp-shuffled", FSP(shuffle=True), frozen_width=8),
    Case("staged", Staged()),
    Case("peers-sequential", Peers()),
    Case("peers-simultaneous", Peers(simultaneous=True)),
    Case("critic-joint", Critic()),
    Case("critic-turns", Critic(joint=False)),
    Case("momentum", Momentum()),
    Case("ragged", Ragged()),
]
