"""What frozen networks gave, stored once and read by every later training.

    <runs>/cache/<hash>/
        manifest.json              what it holds, of which network on which pixels, and the SHA-256 of every file
        view-000.safetensors       one row per sample, by ascending id: outputs and tapped features
        view-001.safetensors
        …

The hash is that of the manifest's `key`: whatever can change an output is in it, so a change makes another folder. A
view is written whole or not at all and entered into the manifest afterwards; a filling that was killed goes on with the
next view. Files are mapped into memory, and none is read from before its checksum was found right.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import RunError
from limbeck.core.files import TEMPORARY, write_json
from limbeck.core.forward_pass import ForwardPass
from limbeck.train.recorded import packed
from limbeck.train.rowfile import mapped, written
from limbeck.train.settings import Cached

FOLDER, MANIFEST = "cache", "manifest.json"
FORMAT = 1
"""Counts changes of limbeck that change what is stored."""


@dataclass(frozen=True)
class Cache:
    """One folder of stored passes.

    Args:
        folder: need not exist.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, key: Mapping[str, Any]) -> Cache:
        """The cache of a key below the folder of all runs."""
        text = json.dumps({"format": FORMAT, **key}, sort_keys=True)
        return cls(root / FOLDER / hashlib.sha256(text.encode()).hexdigest()[:10])

    @property
    def name(self) -> str:
        """The hash."""
        return self.folder.name

    def manifest(self) -> dict[str, Any]:
        """What it holds; empty if nothing was stored yet.

        Raises:
            RunError: the manifest is damaged.
        """
        path = self.folder / MANIFEST
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise RunError(f"{path} is damaged ({error}); {self._advice()}") from error
        return found

    def missing(self, manifest: Mapping[str, Any]) -> list[int]:
        """The views that are still to be stored."""
        files = manifest.get("files", {})
        names = {view: _file(view) for view in range(manifest.get("views", 1))}
        return [view for view, name in names.items() if name not in files or not (self.folder / name).is_file()]

    @property
    def complete(self) -> bool:
        """Whether every view is there."""
        return not self.missing(self.manifest())

    @property
    def bytes(self) -> int:
        """On the disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir()) if self.folder.is_dir() else 0

    def damaged(self) -> list[Path]:
        """Files that are not what was written; reads them all."""
        files = self.manifest().get("files", {})
        paths = {self.folder / name: facts["sha256"] for name, facts in files.items()}
        return [path for path, expected in paths.items() if path.is_file() and _sha256(path) != expected]

    def check(self) -> None:
        """Raise RunError, naming the file, if one is damaged."""
        for path in self.damaged():
            raise RunError(
                f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}. Nothing was trained on it. "
                "Delete this file; the next run stores this view again"
            )

    def view(self, view: int) -> dict[str, Tensor]:
        """The tensors of a view, mapped."""
        return mapped(self.folder / _file(view))

    def remove(self) -> bool:
        """Delete the folder, unless some process is filling it; returns whether it is gone."""
        with self._locked(wait=False) as held:
            if held:
                shutil.rmtree(self.folder)
        return held

    def _advice(self) -> str:
        return f"delete the folder {self.folder}; the next run fills it again"

    @contextmanager
    def _locked(self, *, wait: bool) -> Iterator[bool]:
        """Hold the folder; the system lets go of it when the process ends, however it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)


def caches(root: Path) -> list[Cache]:
    """All below the folder of all runs."""
    return [Cache(path) for path in sorted((root / FOLDER).glob("*")) if path.is_dir()]


@dataclass(frozen=True)
class Filling:
    """What is to be stored in a cache.

    Args:
        key: of the cache.
        run: the network on a batch, whole and without gradient.
        view: the batches of a view, by ascending id.
        example: any batch.
        size: samples in a batch.
        rows: samples in a view.
        views: how many there are, at least one.
        settings: how they are stored.
        who: whose passes, for messages.
    """

    key: Mapping[str, Any]
    run: Callable[[Any], ForwardPass]
    view: Callable[[int], Iterable[Any]]
    example: Any
    size: Callable[[Any], int]
    rows: int
    views: int
    settings: Cached
    who: str

    def into(self, cache: Cache, *, say: Callable[[str], None], done: Callable[[int], None]) -> None:
        """Store the views that are missing; another process that fills the same cache is waited for.

        Args:
            cache: where to.
            say: is told the size before anything is written.
            done: is told how many samples are stored by now, of all views.

        Raises:
            RunError: the disk is full, or something cannot be stored.
        """
        with cache._locked(wait=True):
            for half in cache.folder.glob(f".*{TEMPORARY}"):  # of a process that was killed while it wrote
                half.unlink(missing_ok=True)
            manifest = cache.manifest() or self._manifest()
            missing = cache.missing(manifest)
            if missing:
                say(self._announcement(cache, manifest, len(missing)))
            for number, view in enumerate(missing, start=self.views - len(missing)):
                path = cache.folder / _file(view)
                self._store(path, view, before=number * self.rows, done=done)
                manifest["files"][path.name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
                write_json(cache.folder / MANIFEST, manifest)

    def _manifest(self) -> dict[str, Any]:
        forward_pass = self.run(self.example)
        stored = self._packed(forward_pass, self.example)
        return {
            "what": "What a network gave, stored by limbeck: one row per sample, by ascending id",
            "who": self.who,
            "format": FORMAT,
            "key": dict(self.key),
            "rows": self.rows,
            "views": self.views,
            "classes": forward_pass.output.shape[-1],
            "taps": {path: _name(tensor.dtype) for path, tensor in forward_pass.taps.items()},
            "tensors": {name: [_name(tensor.dtype), list(tensor.shape[1:])] for name, tensor in stored.items()},
            "row_bytes": sum(tensor[0].numel() * tensor.itemsize for tensor in stored.values()),
            "files": {},
        }

    def _packed(self, forward_pass: ForwardPass, batch: Any) -> dict[str, Tensor]:
        dtype = getattr(torch, self.settings.dtype)
        return packed(forward_pass, dtype=dtype, top=self.settings.top, rows=self.size(batch), who=self.who)

    def _announcement(self, cache: Cache, manifest: Mapping[str, Any], missing: int) -> str:
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        left = "" if missing == self.views else f", {missing} still missing"
        size = manifest["row_bytes"] * self.rows * self.views / 1e6
        kind = self.settings.dtype + (f", top {self.settings.top}" if self.settings.top else "")
        what = f"{views} of {self.rows:,} samples{left}, {size:,.1f} MB ({kind})"
        return f"storing what {self.who} gives: {what} in {cache.folder}"

    def _store(self, path: Path, view: int, *, before: int, done: Callable[[int], None]) -> None:
        batches = iter(self.view(view))
        first = next(batches)
        stored, position = self._packed(self.run(first), first), 0
        layout = {name: (tensor.dtype, (self.rows, *tensor.shape[1:])) for name, tensor in stored.items()}
        with written(path, layout) as rows:
            while True:
                count = len(next(iter(stored.values())))
                for name, tensor in stored.items():
                    rows[name][position : position + count] = tensor.cpu()
                position += count
                done(before + position)
                batch = next(batches, None)
                if batch is None:
                    break
                stored = self._packed(self.run(batch), batch)
            if position != self.rows:
                raise RunError(f"expected {self.rows} samples in view {view} of {self.who}, came {position}")


def tap_types(manifest: Mapping[str, Any]) -> dict[str, torch.dtype]:
    """Tap -> its own type, in the network's order."""
    return {path: getattr(torch, name) for path, name in manifest["taps"].items()}


def _file(view: int) -> str:
    return f"view-{view:03d}.safetensors"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
