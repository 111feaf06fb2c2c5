"""Storing goes on where it was killed, says what it will take, and refuses what has no row per sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from limbeck.core.errors import RunError
from limbeck.core.forward_pass import ForwardPass
from limbeck.train.cache import Cache
from limbeck.train.settings import Cached
from little import CLASSES, values
from running import stamps
from train.storing import COUNT, filled, filling, teacher


def test_a_cache_that_was_removed_while_it_was_filled_says_so(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    assert cache.remove()
    with pytest.raises(RunError, match="was removed while it was being filled; run the same command again"):
        cache.enter("answers", lambda path: path.touch())


def test_every_view_draws_anew_whatever_the_network_says_of_it(tmp_path: Path) -> None:
    cache, settings = Cache(tmp_path / "cache"), Cached(sampled=3)
    constant = filling(teacher(), settings=settings, run=lambda batch: ForwardPass(torch.zeros(len(batch.ids), 9), {}))
    replace(constant, temperature=1.0).into(cache, say=print, done=lambda _count: None)
    views = [cache.view(view)["sampled.classes"] for view in range(3)]
    assert all((one != other).any(1).float().mean() > 0.5 for one, other in pairwise(views))


class Killed(Exception):
    pass


def test_a_filling_that_stopped_goes_on_with_the_next_view(tmp_path: Path) -> None:
    net, seen = teacher(), list[int]()

    def stops(batch: Any) -> ForwardPass:
        seen.append(len(batch.ids))
        if len(seen) == 1 + 6 + 3:  # the example, one whole view, half a view
            raise Killed
        net.forget()
        return net(batch)

    cache = Cache(tmp_path / "cache")
    with pytest.raises(Killed):
        filling(net, run=stops).into(cache, say=print, done=lambda _count: None)
    assert not cache.complete
    assert cache.missing(cache.manifest()) == [1, 2]
    before = stamps(cache.folder)
    (cache.folder / ".view-001.safetensors.x.part").write_bytes(b"half")
    said, counts = [], []
    filling(net).into(cache, say=said.append, done=counts.append)
    assert cache.complete
    assert "2 still missing" in said[0]
    assert counts[0] == COUNT + 8
    assert counts[-1] == 3 * COUNT
    after = stamps(cache.folder)
    assert after["view-000.safetensors"] == before["view-000.safetensors"]
    assert not list(cache.folder.glob("*.part")) + list(cache.folder.glob(".*.part"))
    whole = filled(tmp_path / "whole", teacher())
    for name in ("view-000", "view-001", "view-002"):
        assert (cache.folder / f"{name}.safetensors").read_bytes() == (
            whole.folder / f"{name}.safetensors"
        ).read_bytes()


def test_a_complete_cache_is_left_alone(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    before, said = stamps(cache.folder), []
    filling(teacher(), run=partial(pytest.fail, "ran")).into(cache, say=said.append, done=lambda _count: None)
    assert stamps(cache.folder) == before
    assert said == []


def test_the_size_is_said_before_anything_is_written(tmp_path: Path) -> None:
    cache, said = Cache(tmp_path / "cache"), []

    def say(line: str) -> None:
        said.append((line, list(cache.folder.glob("[!.]*"))))

    filling(teacher(), settings=Cached()).into(cache, say=say, done=lambda _count: None)
    ((line, files),) = said
    assert files == []
    per_row = 2 * (CLASSES + 4 * 4 * 4 + 4 * 2 * 2)
    assert f"3 views of {COUNT} samples, {3 * COUNT * per_row / 1e6:.1f} MB (float16)" in line
    stored = sum(path.stat().st_size for path in cache.folder.glob("*.safetensors"))
    assert 0 <= stored - 3 * COUNT * per_row < 3 * 300  # and the headers


def test_a_folder_of_another_key_is_not_completed(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    (cache.folder / "view-002.safetensors").unlink()
    with pytest.raises(RunError, match="holds the outputs of something else"):
        replace(filling(teacher()), key={"of": "other"}).into(cache, say=print, done=lambda _count: None)


def test_a_batch_of_another_shape_is_not_stretched_to_fit(tmp_path: Path) -> None:
    """A copy into the file would repeat what is missing."""
    net, first = teacher(), list[int]()

    def uneven(batch: Any) -> ForwardPass:
        net.forget()
        found = net(batch)
        first.append(1)
        taps = {path: tensor if len(first) < 4 else tensor[:, :1] for path, tensor in found.taps.items()}
        return ForwardPass(found.output, taps)

    with pytest.raises(RunError, match=r"taps/2 of teacher is float32 \[8, 1, 4, 4\] on a batch of view 0, where"):
        filling(net, run=uneven).into(Cache(tmp_path / "cache"), say=print, done=lambda _count: None)


def test_a_view_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    net = teacher()
    short = filling(net)

    def first_only(view: int) -> Iterator[Any]:
        yield next(iter(short.view(view)))

    with pytest.raises(RunError, match=f"expected {COUNT} samples in view 0 of teacher, came 8"):
        replace(short, view=first_only).into(Cache(tmp_path / "cache"), say=print, done=lambda _count: None)
    assert not list((tmp_path / "cache").glob("view*"))


def test_filling_changes_nothing_in_the_network(tmp_path: Path) -> None:
    net = teacher()
    before = values(net.model)
    filled(tmp_path, net)
    after = values(net.model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_axis_that_only_happens_to_be_as_long_as_a_batch_is_noticed(tmp_path: Path) -> None:
    """[8 positions, b samples, channels] on batches of 8 looks like one row per sample."""
    sequence_first = filling(
        teacher(),
        run=lambda batch: ForwardPass(torch.zeros(len(batch.ids), 9), {"0": torch.zeros(8, len(batch.ids), 2)}),
    )
    with pytest.raises(RunError, match=r"taps/0 has shape \[8, 7, 2\] on a batch of 7; only tensors with one row per"):
        sequence_first.into(Cache(tmp_path / "cache"), say=print, done=lambda _count: None)
    assert not list((tmp_path / "cache").glob("view*"))


def test_who_waits_for_another_process_is_told(tmp_path: Path) -> None:
    cache, said = filled(tmp_path, teacher()), list[str]()
    thread = Thread(target=filling(teacher()).into, args=(cache,), kwargs={"say": said.append, "done": print})
    with cache.locked(wait=True):
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
        assert said == ["waiting for another process that stores what teacher gives"]
    thread.join(timeout=30)
    assert not thread.is_alive()
