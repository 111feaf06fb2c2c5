"""Storing what a network gives, view by view, so that a filling that was killed loses one view at most."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import RunError
from limbeck.core.files import TEMPORARY
from limbeck.core.forward_pass import ForwardPass
from limbeck.train.cache import FORMAT, Cache, file_of, sha256
from limbeck.train.recorded import packed
from limbeck.train.rowfile import written
from limbeck.train.sampled import drawn
from limbeck.train.settings import Cached


@dataclass(frozen=True)
class Filling:
    """What is to be stored in a cache.

    Args:
        key: of the cache.
        run: the network on a batch, whole and without gradient.
        view: the batches of a view, by ascending id.
        example: a batch with another number of samples than those of a view.
        ids: of the samples of a batch.
        rows: samples in a view.
        views: how many there are, at least one.
        settings: how they are stored.
        who: whose passes, for messages.
        temperature: at which distributions are kept, if the settings ask for the largest classes or for samples.
        facts: what else the manifest should say, such as versions.
    """

    key: Mapping[str, Any]
    run: Callable[[Any], ForwardPass]
    view: Callable[[int], Iterable[Any]]
    example: Any
    ids: Callable[[Any], Tensor]
    rows: int
    views: int
    settings: Cached
    who: str
    temperature: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def into(self, cache: Cache, *, say: Callable[[str], None], done: Callable[[int], None]) -> None:
        """Store the views that are missing; another process that fills the same cache is waited for.

        Args:
            cache: where to.
            say: is told the size before anything is written, and for whom it waits.
            done: is told how many samples are stored by now, of all views.

        Raises:
            RunError: the disk is full, something cannot be stored, or the folder holds something else.
        """
        with cache.locked(wait=True, say=lambda: say(f"waiting for another process that stores what {self.who} gives")):
            for half in cache.folder.glob(f".*{TEMPORARY}"):  # of a process that was killed while it wrote
                half.unlink(missing_ok=True)
            manifest = cache.manifest() or self._manifest()
            if manifest["key"] != json.loads(json.dumps(self.key)):
                raise RunError(f"{cache.folder} holds the outputs of something else; delete this folder")
            missing = cache.missing(manifest)
            if missing:
                say(self._announcement(cache, manifest, len(missing)))
            for number, view in enumerate(missing, start=self.views - len(missing)):
                path = cache.folder / file_of(view)
                self._store(path, view, before=number * self.rows, done=done)
                manifest["files"][path.name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
                cache.write(manifest)

    def _manifest(self) -> dict[str, Any]:
        forward_pass = self.run(self.example)
        stored = self._packed(forward_pass, self.example, view=0)
        return {
            "what": "What a network gave, stored by limbeck: one row per sample, by ascending id",
            "who": self.who,
            "kind": self.settings.kind,
            "format": FORMAT,
            "key": json.loads(json.dumps(self.key)),
            "rows": self.rows,
            "views": self.views,
            "classes": forward_pass.output.shape[-1],
            "temperature": self.temperature,
            "taps": {path: _name(tensor.dtype) for path, tensor in forward_pass.taps.items()},
            "tensors": {name: [_name(tensor.dtype), list(tensor.shape[1:])] for name, tensor in stored.items()},
            "row_bytes": sum(tensor[0].numel() * tensor.itemsize for tensor in stored.values()),
            "files": {},
            **self.facts,
        }

    def _packed(self, forward_pass: ForwardPass, batch: Any, *, view: int) -> dict[str, Tensor]:
        ids, draw = self.ids(batch), None
        if self.settings.sampled is not None and self.temperature is not None:
            draw = partial(drawn, ids=ids, view=view, draws=self.settings.sampled, temperature=self.temperature)
        dtype, top = getattr(torch, self.settings.dtype), self.settings.top
        temperature = 1.0 if self.temperature is None else self.temperature
        rows, who = len(ids), self.who
        return packed(forward_pass, dtype=dtype, top=top, draw=draw, temperature=temperature, rows=rows, who=who)

    def _announcement(self, cache: Cache, manifest: Mapping[str, Any], missing: int) -> str:
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        left = "" if missing == self.views else f", {missing} still missing"
        size = manifest["row_bytes"] * self.rows * self.views / 1e6
        what = f"{views} of {self.rows:,} samples{left}, {size:,.1f} MB ({self.settings.kind})"
        return f"storing what {self.who} gives: {what} in {cache.folder}"

    def _store(self, path: Path, view: int, *, before: int, done: Callable[[int], None]) -> None:
        batches = iter(self.view(view))
        first = next(batches)
        stored, position = self._packed(self.run(first), first, view=view), 0
        layout = {name: (tensor.dtype, (self.rows, *tensor.shape[1:])) for name, tensor in stored.items()}
        with written(path, layout) as rows:
            while True:
                count = len(next(iter(stored.values())))
                for name, tensor in stored.items():
                    self._put(rows[name][position : position + count], tensor, name, view)
                position += count
                done(before + position)
                batch = next(batches, None)
                if batch is None:
                    break
                stored = self._packed(self.run(batch), batch, view=view)
            if position != self.rows:
                raise RunError(f"expected {self.rows} samples in view {view} of {self.who}, came {position}")

    def _put(self, place: Tensor, tensor: Tensor, name: str, view: int) -> None:
        if place.shape != tensor.shape or place.dtype != tensor.dtype:  # a copy would repeat or round in silence
            raise RunError(
                f"{name} of {self.who} is {_name(tensor.dtype)} {list(tensor.shape)} on a batch of view {view}, where "
                f"{_name(place.dtype)} {list(place.shape)} was expected; every batch must give the same per sample: "
                "teacher_outputs: live"
            )
        place.copy_(tensor)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
