"""What frozen networks gave, stored once and read by every later training.

    <runs>/cache/<hash>/
        manifest.json              what it holds, of which network on which pixels, SHA-256 of every file and of itself
        view-000.safetensors       one row per sample, by ascending id: outputs and tapped features
        view-001.safetensors
        …
        answers-test.safetensors   outputs on held-out images, as they are measured

The hash is that of the manifest's `key`: whatever can change an output is in it, so a change makes another folder. A
view is written whole or not at all and entered into the manifest afterwards; a filling that was killed goes on with the
next view (see `filling`). Files are mapped into memory, and none is read from before its checksum was found right.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import RunError
from limbeck.core.files import disk_errors, write_json
from limbeck.train.rowfile import mapped

FOLDER, MANIFEST = "cache", "manifest.json"
FORMAT = 2
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
        return cls(root / FOLDER / _checksum({"format": FORMAT, **key})[:10])

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
            found = json.loads(path.read_text(encoding="utf-8"))
            own = found.pop("sha256")
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
            raise RunError(f"{path} is damaged ({error!r}); {self._advice()}") from error
        if own != _checksum(found):
            raise RunError(f"{path} is damaged: its text is not what was written; {self._advice()}")
        return dict(found)

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest; raises RunError when the disk is full or the folder cannot be written."""
        write_json(self.folder / MANIFEST, {**manifest, "sha256": _checksum(manifest)})

    def missing(self, manifest: Mapping[str, Any]) -> list[int]:
        """The views that are still to be stored."""
        files = manifest.get("files", {})
        names = {view: file_of(view) for view in range(manifest.get("views", 1))}
        return [view for view, name in names.items() if name not in files or not (self.folder / name).is_file()]

    @property
    def complete(self) -> bool:
        """Whether every view is there; raises RunError when the manifest is damaged."""
        return not self.missing(self.manifest())

    @property
    def bytes(self) -> int:
        """On the disk."""
        total = 0
        for path in self.folder.glob("*"):
            with suppress(FileNotFoundError):  # another process may be filling it, or removing it
                total += path.stat().st_size
        return total

    def damaged(self) -> list[Path]:
        """Files that are not what was written; reads them all."""
        try:
            files = self.manifest().get("files", {})
        except RunError:
            return [self.folder / MANIFEST]
        paths = {self.folder / name: facts["sha256"] for name, facts in files.items()}
        return [path for path, expected in paths.items() if path.is_file() and sha256(path) != expected]

    def check(self) -> None:
        """Raise RunError, naming the file, if one is damaged or missing."""
        missing = self.missing(self.manifest())
        if missing:
            raise RunError(
                f"{self.folder} holds no {file_of(missing[0])}; expected every view before training. If several "
                "machines train together, they need one folder of runs that all of them see"
            )
        for path in self.damaged():
            raise RunError(
                f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}. Nothing was trained on it. "
                "Delete this file; the next run stores it again"
            )

    def view(self, view: int) -> dict[str, Tensor]:
        """The tensors of a view, mapped."""
        return mapped(self.folder / file_of(view))

    def held(self, name: str) -> Path | None:
        """A file that is in the manifest and is what was written; `None` for any other."""
        facts, path = self.manifest().get("files", {}).get(name), self.folder / name
        return path if facts and path.is_file() and sha256(path) == facts["sha256"] else None

    def enter(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a file beside the views, and enter it into the manifest, which must be there.

        Args:
            name: of the file.
            write: writes it, whole or not at all.
        """
        with self.locked(wait=True):
            path, manifest = self.folder / name, self.manifest()
            if "files" not in manifest:
                raise RunError(f"{self.folder} was removed while it was being filled; run the same command again")
            write(path)
            manifest["files"][name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
            self.write(manifest)

    def remove(self, *, unless: Callable[[], bool] = lambda: False) -> bool:
        """Delete the folder, unless some process is filling it; returns whether it is gone.

        Args:
            unless: asked once nobody else can fill it or find it complete: true = leave it.
        """
        with self.locked(wait=False) as held:
            if not held or unless():
                return False
            # its name goes first and at once, so that whoever waits for the lock sees that this is no longer the folder
            gone = self.folder.with_name(f".{self.name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            self.folder.rename(gone)
            shutil.rmtree(gone)
        return True

    def _advice(self) -> str:
        return f"delete the folder {self.folder}; the next run fills it again"

    @contextmanager
    def locked(self, *, wait: bool, say: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Hold the folder, which is made; the system lets go of it when the process ends, however it ends.

        Args:
            wait: for another process that holds it; otherwise the body is told that it is not held.
            say: called before waiting, if another process holds it.
        """
        handle = self._lock(wait=False)
        if handle is None and wait:
            say()
            handle = self._lock(wait=True)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough while workers that were forked hold it too
                os.close(handle)

    def _lock(self, *, wait: bool) -> int | None:
        path = self.folder / ".lock"
        while True:
            with disk_errors(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    handle = os.open(path, os.O_CREAT | os.O_RDWR)
                except FileNotFoundError:  # removed since
                    continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
            except BlockingIOError:
                os.close(handle)
                return None
            except FileNotFoundError:  # the folder was removed while this process waited
                pass
            os.close(handle)


def caches(root: Path) -> list[Cache]:
    """All below the folder of all runs."""
    return [Cache(path) for path in sorted((root / FOLDER).glob("[!.]*")) if path.is_dir()]


def tap_types(manifest: Mapping[str, Any]) -> dict[str, torch.dtype]:
    """Tap -> its own type, in the network's order."""
    return {path: getattr(torch, name) for path, name in manifest["taps"].items()}


def file_of(view: int) -> str:
    """The name of a view's file."""
    return f"view-{view:03d}.safetensors"


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
