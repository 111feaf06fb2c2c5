"""From a run to the stored passes of its frozen networks: what keys them, filling them, serving them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import RunError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.net import Kind, Net, digest
from limbeck.data.augment import Augment
from limbeck.data.loader import Loader
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run, network_name
from limbeck.train.cache import Cache, Filling, caches
from limbeck.train.progress import TrainingProgress
from limbeck.train.served import Stored
from limbeck.train.settings import Cached

_NOT_SEEN = ("batch", "labelled", "augment")
"""Keys of the data that change no pixel of a sample; augmentation has a place of its own."""


def views_of(run: Run) -> int | None:
    """The number of views of a run's data, 0 for one without augmentation; absent when its teacher runs live."""
    outputs = run.recipe.train.teacher_outputs
    if not isinstance(outputs, Cached):
        return None
    return outputs.views_of(augmented=run.recipe.data.augment != Augment())


def prune(root: Path) -> Iterator[tuple[Path, str]]:
    """Remove the caches that no run of a folder refers to, and those that are not complete; yields each and why.

    One that is just being filled stays.
    """
    used = {
        name
        for path in root.glob("*/run.json")
        for name in RunFolder(path.parent).read("run.json").get("teacher_outputs", {}).values()
    }
    for cache in caches(root):
        why = "not complete" if not cache.complete else "no run refers to it" if cache.name not in used else ""
        if why and cache.remove():
            yield cache.folder, why


@dataclass(frozen=True)
class Teachers:
    """The frozen networks of a run whose outputs are to be stored.

    Args:
        run: asks for stored outputs.
        distiller: of the run.
        given: role -> the network that the recipe names for it.
        loader: of the run's training images.
    """

    run: Run
    distiller: Distiller
    given: Mapping[str, nn.Module]
    loader: Loader

    def caches(self) -> dict[str, Cache]:
        """Role -> its cache, filled or not.

        Raises:
            RunError: no network is frozen.
        """
        frozen = [role for role in self.distiller.nets if self.distiller[role].kind is Kind.FROZEN]
        if not frozen:
            method = self.run.canonical["method"]["name"]
            raise RunError(f"train.teacher_outputs: cached, but {method} has no frozen network; expected live")
        return {role: Cache.of(self.run.root, self._key(role)) for role in frozen}

    def fill(self, example: Any, *, say: Callable[[str], None], progress: bool) -> None:
        """Store whatever is missing."""
        for role, cache in self.caches().items():
            views = max(1, views_of(self.run) or 0)
            filling = Filling(
                key=self._key(role),
                run=partial(self._whole, self.distiller[role]),
                view=self.loader.view,
                example=example,
                size=self.run.recipe.task.size,
                rows=len(self.loader.ids),
                views=views,
                settings=self._settings,
                who=self._who(role),
            )
            total = views * filling.rows
            bar = TrainingProgress(f"outputs of {role}", total, unit="sample", visible=progress and not cache.complete)
            with bar:
                filling.into(cache, say=say, done=bar.advance)

    def serve(self) -> None:
        """Let the caches answer instead of the networks.

        Raises:
            RunError: a file is damaged.
        """
        loader, task = self.loader, self.run.recipe.task
        for role, cache in self.caches().items():
            stored = Stored(cache, ids=loader.ids, key=task.key, view_at=loader.view_at, device=loader.device)
            self.distiller[role].served = stored

    @property
    def _settings(self) -> Cached:
        settings = self.run.recipe.train.teacher_outputs
        if not isinstance(settings, Cached):
            raise RunError(
                "train.teacher_outputs is live, so nothing would read what is stored; "
                "expected cached: --set train.teacher_outputs=cached"
            )
        return settings

    def _who(self, role: str) -> str:
        return f"{role} ({network_name(self.run, role)})" if role in self.run.recipe.models else role

    def _whole(self, net: Net, batch: Any) -> ForwardPass:
        try:
            with torch.no_grad(), self._autocast():
                return net(batch)
        finally:
            net.forget()

    def _autocast(self) -> AbstractContextManager[Any]:
        """What mixed precision does to a network in training."""
        precision = self.run.recipe.train.precision
        if precision == "fp32":
            return nullcontext()
        return torch.autocast(self.loader.device.type, torch.bfloat16 if precision == "bf16" else torch.float16)

    def _key(self, role: str) -> dict[str, Any]:
        """Everything that can change what is stored, in plain words."""
        determining, settings, net = self.run.determining, self._settings, self.distiller[role]
        views = views_of(self.run) or 0
        data = {key: value for key, value in determining["data"].items() if key not in _NOT_SEEN}
        return {
            "network": self._network(role),
            "weights_sha256": digest(net.model),
            "taps": list(net.taps),
            "data": data,
            "samples_sha256": hashlib.sha256(self.loader.ids.cpu().numpy().tobytes()).hexdigest(),
            "augment": determining["data"].get("augment") if views else None,
            "views": views,
            "dtype": settings.dtype,
            "top": settings.top,
            "precision": self.run.recipe.train.precision,
        }

    def _network(self, role: str) -> dict[str, Any]:
        """What the weights do not say of a network."""
        determining, model = self.run.determining, self.distiller[role].model
        bridges = [module for module in model.modules() if isinstance(module, Bridge)]
        inputs = [{"channels": one.channels, "size": one.size, "normalises": one.normalises} for one in bridges]
        if model is self.given.get(role):
            return {"model": determining["models"][role], "inputs": inputs}
        # made by the method from any of the models, so whatever it was told may matter
        return {"models": determining["models"], "method": determining["method"], "inputs": inputs}
