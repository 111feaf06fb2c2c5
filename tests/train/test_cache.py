"""A folder of stored passes: nothing damaged is read, and two processes never hold it."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from limbeck.core.errors import RunError
from limbeck.train.cache import Cache, caches
from little import CLASSES
from train.storing import filled, filling, loader, serving, teacher


def test_what_a_killed_prune_leaves_is_no_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache" / "teacher-1")
    filling(teacher()).into(cache, say=lambda _line: None, done=lambda _count: None)
    (tmp_path / "cache" / ".teacher-0.gone").mkdir()
    assert [one.folder for one in caches(tmp_path)] == [cache.folder]


@pytest.mark.parametrize("position", [0.1, 0.5, 0.99])
def test_a_flipped_byte_is_named_and_never_served(tmp_path: Path, position: float) -> None:
    cache = filled(tmp_path, teacher())
    path = cache.folder / "view-001.safetensors"
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)
    assert cache.damaged() == [path]
    with pytest.raises(RunError, match=r"view-001.safetensors is damaged: .* Delete this file"):
        serving(teacher(), cache, loader())
    path.unlink()
    assert not cache.complete
    serving(teacher(), filled(tmp_path, teacher()), loader())


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    (cache.folder / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest.json is damaged .* delete the folder"):
        cache.manifest()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(f'"classes": {CLASSES}', f'"classes": {CLASSES + 1}'),
        lambda text: text.replace('"2": "float32"', '"2": "float16"'),
        lambda text: text.replace('"views": 3', '"views": 1'),
        lambda text: text.replace('"sha256"', '"sha265"'),
        lambda _text: "[]",
    ],
)
def test_a_manifest_that_still_reads_but_is_not_what_was_written_is_named(tmp_path: Path, change: Any) -> None:
    cache = filled(tmp_path, teacher())
    path = cache.folder / "manifest.json"
    path.write_text(change(path.read_text()))
    assert cache.damaged() == [path]
    for use in (cache.check, lambda: filled(tmp_path, teacher())):
        with pytest.raises(RunError, match=r"manifest.json is damaged"):
            use()


def test_a_cache_that_lacks_a_view_is_not_served(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    (cache.folder / "view-002.safetensors").unlink()
    with pytest.raises(RunError, match=r"holds no view-002.safetensors; expected every view"):
        serving(teacher(), cache, loader())


def test_a_cache_that_is_being_filled_is_not_removed(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    with cache.locked(wait=True):
        assert not cache.remove()
    assert cache.remove()
    assert not cache.folder.exists()
    assert caches(tmp_path) == []


def test_whether_a_cache_is_in_use_is_asked_while_nobody_else_can_hold_it(tmp_path: Path) -> None:
    cache, held = filled(tmp_path, teacher()), []

    def used() -> bool:
        with cache.locked(wait=False) as other:
            held.append(other)
        return True

    assert not cache.remove(unless=used)
    assert held == [False]
    assert cache.complete


def test_who_waited_for_a_folder_that_was_removed_holds_the_new_one(tmp_path: Path) -> None:
    """Otherwise two processes would hold one cache: the one by its old lock, the other by its new one."""
    cache, held = filled(tmp_path, teacher()), []

    def waits() -> None:
        with cache.locked(wait=True):
            held.append((cache.folder / ".lock").is_file())
            with cache.locked(wait=False) as other:
                held.append(other)

    def starts_another() -> bool:
        thread.start()
        time.sleep(0.3)  # it opens the lock and waits
        return False

    thread = Thread(target=waits)
    assert cache.remove(unless=starts_another)
    thread.join(timeout=30)
    assert held == [True, False]


def test_workers_that_were_forked_do_not_keep_the_lock(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.locked(wait=True):
        worker = torch.multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        worker.start()
    try:
        with cache.locked(wait=False) as held:
            assert held
    finally:
        worker.kill()
        worker.join()
