"""From a run to the stored passes of its frozen networks: what keys them, filling them, serving them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.core.assembled import Assembled
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import RunError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.layout import channels_last
from limbeck.core.net import Kind, Net, digest
from limbeck.data.augment import Augment
from limbeck.data.batches import ImageBatch
from limbeck.data.loader import Loader
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run, network_name
from limbeck.recipe.versions import versions
from limbeck.train.cache import Cache, caches
from limbeck.train.filling import Filling
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


def prune(root: Path) -> Iterator[Path]:
    """Remove the caches that no run of a folder refers to, finished or not, and yield each; those being filled stay."""
    for cache in caches(root):
        # asked under the cache's lock: a run says what it refers to before it takes that lock itself
        if cache.remove(unless=partial(_used, root, cache.name)):
            yield cache.folder


def _used(root: Path, name: str) -> bool:
    runs = (RunFolder(path.parent).read("run.json") for path in root.glob("*/run.json"))
    return any(name in run.get("teacher_outputs", {}).values() for run in runs)


def check_stored(run: Run, *, classes: int) -> None:
    """Refuse what could not be stored, or not be learned from, before anything is trained.

    Args:
        run: asks for stored outputs or not.
        classes: of the run's data.

    Raises:
        RunError: no network is frozen, views do not differ, or what is to be kept of outputs is more than all of it, or
            would bias.
    """
    settings, name = run.recipe.train.teacher_outputs, run.canonical["method"]["name"]
    if not isinstance(settings, Cached):
        return
    frozen = run.frozen
    if not frozen:
        raise RunError(f"train.teacher_outputs: cached, but {name} has no frozen network; expected live")
    if (settings.views or 0) > 1 and run.recipe.data.augment == Augment():
        raise RunError(
            f"train.teacher_outputs.views: {settings.views}, but without augmentation every view is the same; expected "
            "0, or data.augment"
        )
    for key, kept in (("top", settings.top), ("sampled", settings.sampled)):
        if kept is not None and kept >= classes:
            raise RunError(
                f"train.teacher_outputs.{key}: {kept} of {classes} classes is no less than all; expected at most "
                f"{classes - 1}, or none"
            )
    for role in frozen if settings.sampled is not None else ():
        if run.recipe.method.linear_at(role) is None:
            raise RunError(
                f"train.teacher_outputs.sampled: {name} does not learn from {role} through a KL divergence from "
                "teacher to student at one temperature, and samples would bias anything else; expected top, or all"
            )


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
        """Role -> its cache, filled or not; raises RunError when nothing is to be stored."""
        return {role: Cache.of(self.run.root, key) for role, key in self._keys.items()}

    def fill(self, example: ImageBatch, *, say: Callable[[str], None], progress: bool) -> None:
        """Store whatever is missing; another process that is storing it is waited for."""
        # one sample fewer than a batch of a view, so that an axis that only happens to be as long is noticed
        probe = ImageBatch(*(part[: max(1, len(part) - 1)] for part in example))
        for role, cache in self.caches().items():
            views = max(1, views_of(self.run) or 0)
            filling = Filling(
                key=self._keys[role],
                run=partial(self._whole, self.distiller[role]),
                view=self.loader.view,
                example=probe,
                ids=self.run.recipe.task.key,
                rows=len(self.loader.ids),
                views=views,
                settings=self._settings,
                who=self._who(role),
                temperature=self._keys[role].get("temperature"),
                facts={"versions": versions()},
            )
            total = views * filling.rows
            visible = progress and not cache.complete
            bar = TrainingProgress(f"outputs of {role}", total, unit="sample", visible=visible)
            with bar, channels_last(self.distiller[role].model, self.run.recipe.train.channels_last):
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

    @cached_property
    def _keys(self) -> dict[str, dict[str, Any]]:
        """Role -> everything that can change what is stored, in plain words."""
        frozen = [role for role in self.distiller.nets if self.distiller[role].kind is Kind.FROZEN]
        return {role: {**self._pixels(), **self._passes(role), **self._kept(role)} for role in frozen}

    def _pixels(self) -> dict[str, Any]:
        """What decides what the network sees."""
        views, data = views_of(self.run) or 0, self.run.determining["data"]
        augment = data.get("augment") if views else None
        drawn = ("torch", "torchvision") if augment and augment["transforms"] else ()
        return {
            "data": {key: value for key, value in data.items() if key not in _NOT_SEEN},
            "samples_sha256": hashlib.sha256(self.loader.ids.cpu().numpy().tobytes()).hexdigest(),
            "augment": augment,
            "transforms_by": {package: version(package) for package in drawn},
            "views": views,
        }

    def _passes(self, role: str) -> dict[str, Any]:
        """What decides what the network makes of it."""
        net, task = self.distiller[role], self.run.determining["task"]
        return {
            "network": self._network(role),
            "weights_sha256": digest(net.model),
            "taps": list(net.taps),
            # how limbeck's own tasks run a network does not depend on their settings; a user's own may do anything
            "task": task if "source" in task else task["name"],
            "precision": self.run.recipe.train.precision,
        }

    def _kept(self, role: str) -> dict[str, Any]:
        """What is kept of it."""
        kept = {key: value for key, value in asdict(self._settings).items() if key in ("dtype", "top", "sampled")}
        if self._settings.top is None and self._settings.sampled is None:
            return kept
        # `top` is stored for any method: where none needs one temperature only, at that of the network's own output
        return kept | {"temperature": self.run.recipe.method.linear_at(role) or 1.0}

    def _network(self, role: str) -> dict[str, Any]:
        """What the weights do not say of a network."""
        determining, model = self.run.determining, self.distiller[role].model
        bridges = [module for module in model.modules() if isinstance(module, Bridge)]
        inputs = [{"channels": one.channels, "size": one.size, "normalises": one.normalises} for one in bridges]
        given = self.given.get(role)
        if model is given:
            return {"model": determining["models"][role], "inputs": inputs}
        if isinstance(model, Assembled) and _same_parts(model, given):  # such as an ensemble at another temperature
            return {"model": determining["models"][role], "facts": model.facts(), "inputs": inputs}
        # made by the method from any of the models, so whatever it was told may matter
        return {"models": determining["models"], "method": determining["method"], "inputs": inputs}


def _same_parts(one: Assembled, other: nn.Module | None) -> bool:
    if not isinstance(other, Assembled) or type(one) is not type(other):
        return False
    mine, his = one.parts(), other.parts()
    return list(mine) == list(his) and all(mine[name] is his[name] for name in mine)
