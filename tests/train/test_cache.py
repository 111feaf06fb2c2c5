"""Stored passes equal live ones on the very pixels of training, survive a kill, and are never served damaged."""

from __future__ import annotations

import time
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
from limbeck.core.net import Kind, Net
from limbeck.data.augment import Augment
from limbeck.data.loader import Loader
from limbeck.data.parts import InMemory
from limbeck.tasks.classification import Classification
from limbeck.train.cache import Cache, caches
from limbeck.train.filling import Filling
from limbeck.train.served import Stored
from limbeck.train.settings import Cached
from little import CLASSES, conv_net, run, values
from running import stamps

COUNT, EXACT = 44, Cached(dtype="float32")
VARIED = Augment(crop=2, flip=True, mixup=0.5)
TASK = Classification()


def part() -> InMemory:
    """Ids are neither sorted nor without gaps."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (COUNT, 1, 8, 8), generator=generator, dtype=torch.uint8)
    ids = 5 + 3 * torch.randperm(COUNT, generator=generator)
    return InMemory(pixels, torch.arange(COUNT) % CLASSES, ids)


def loader(views: int = 3, **more: Any) -> Loader:
    return Loader(part(), **{"batch": 8, "augment": VARIED, "seed": 0, "classes": CLASSES, "views": views, **more})


def teacher(**more: Any) -> Net:
    return Net(conv_net(seed=9, **more), run, taps=("2", "5"), kind=Kind.FROZEN)


def filling(net: Net, views: int = 3, *, settings: Cached = EXACT, run: Any = None) -> Filling:
    def whole(batch: Any) -> ForwardPass:
        try:
            return net(batch)
        finally:
            net.forget()

    made = loader(views)
    example = made.step(0)[0]
    parts = {"key": {"of": "test"}, "view": made.view, "example": example, "ids": TASK.key, "who": "teacher"}
    return Filling(run=run or whole, rows=COUNT, views=max(1, views), settings=settings, **parts)


def filled(folder: Path, net: Net, views: int = 3, *, settings: Cached = EXACT) -> Cache:
    cache = Cache(folder / "cache")
    filling(net, views, settings=settings).into(cache, say=lambda _line: None, done=lambda _count: None)
    return cache


def serving(net: Net, cache: Cache, data: Loader) -> Net:
    net.served = Stored(cache, ids=data.ids, key=TASK.key, view_at=data.view_at)
    return net


@pytest.mark.parametrize("views", [0, 1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_stored_passes_are_those_of_the_pixels_that_the_student_sees(
    tmp_path: Path, views: int, dtype: str, tolerance: float
) -> None:
    """Two processes, another seed's order, micro-batches, every view twice."""
    cache = filled(tmp_path, teacher(), views, settings=Cached(dtype=dtype))
    live = teacher()
    met = set()
    for rank in (0, 1):
        data = loader(views, seed=4, rank=rank, world=2, accumulate=2)
        stored = serving(teacher(), cache, data)
        for step in range(2 * max(1, views) * data.steps_per_epoch):
            for batch in data.step(step):
                stored.served.now(batch, step)
                one, other = stored(batch), live(batch)
                torch.testing.assert_close(one.output, other.output, rtol=tolerance, atol=tolerance)
                assert list(one.taps) == list(other.taps) == ["2", "5"]
                for path, tensor in one.taps.items():
                    torch.testing.assert_close(tensor, other.taps[path], rtol=tolerance, atol=tolerance)
                met.add((rank, data.view_at(step)))
                stored.forget()
                live.forget()
        assert stored.calls == 0
    assert met == {(rank, view) for rank in (0, 1) for view in range(max(1, views))}


def test_a_batch_that_was_altered_in_one_turn_is_not_served_in_the_next(tmp_path: Path) -> None:
    data = loader()
    stored = serving(teacher(), filled(tmp_path, teacher()), data)
    first, second = loader(accumulate=2).step(0)
    stored.served.now(first, 0)
    with torch.no_grad():
        first.images.mul_(0.5)
    assert stored.served(first) is None
    for batch, served in ((second, True), (first, False), (second, True)):  # the turns' micro-batches
        stored.served.now(batch, 0)
        assert (stored.served(batch) is not None) == served
    stored.served.now(first, 1)  # in another step it is what the data gave
    assert stored.served(first) is not None


def test_a_cache_that_was_removed_while_it_was_filled_says_so(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    assert cache.remove()
    with pytest.raises(RunError, match="was removed while it was being filled; run the same command again"):
        cache.enter("answers", lambda path: path.touch())


def test_what_a_killed_prune_leaves_is_no_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache" / "teacher-1")
    filling(teacher()).into(cache, say=lambda _line: None, done=lambda _count: None)
    (tmp_path / "cache" / ".teacher-0.gone").mkdir()
    assert [one.folder for one in caches(tmp_path)] == [cache.folder]


def test_views_differ_so_the_right_one_must_have_been_served(tmp_path: Path) -> None:
    cache = filled(tmp_path, teacher())
    first, second = cache.view(0)["output"], cache.view(1)["output"]
    assert not torch.allclose(first, second, atol=1e-3)


def test_samples_come_back_as_distributions_of_the_right_view(tmp_path: Path) -> None:
    """A hundred draws of four classes are close to the live distribution."""
    settings = Cached(sampled=100)
    cache, data, live = Cache(tmp_path / "cache"), loader(), teacher()
    replace(filling(teacher(), settings=settings), temperature=2.0).into(cache, say=print, done=lambda _count: None)
    stored = serving(teacher(), cache, data)
    for step in (0, data.steps_per_epoch, 2 * data.steps_per_epoch):
        (batch,) = data.step(step)
        stored.served.now(batch, step)
        found, expected = ((net(batch).output / 2).softmax(-1) for net in (stored, live))
        torch.testing.assert_close(found, expected, rtol=0, atol=0.03)
        stored.forget()
        live.forget()
    assert stored.calls == 0


def test_every_view_draws_anew_whatever_the_network_says_of_it(tmp_path: Path) -> None:
    cache, settings = Cache(tmp_path / "cache"), Cached(sampled=3)
    constant = filling(teacher(), settings=settings, run=lambda batch: ForwardPass(torch.zeros(len(batch.ids), 9), {}))
    replace(constant, temperature=1.0).into(cache, say=print, done=lambda _count: None)
    views = [cache.view(view)["sampled.classes"] for view in range(3)]
    assert all((one != other).any(1).float().mean() > 0.5 for one, other in pairwise(views))


@pytest.fixture
def served(tmp_path: Path) -> tuple[Net, Any]:
    """A network with stored passes, and the current batch."""
    data = loader()
    net, (batch,) = serving(teacher(), filled(tmp_path, teacher()), data), data.step(0)
    net.served.now(batch, 0)
    return net, batch


def test_a_batch_that_a_method_altered_is_never_served(served: tuple[Net, Any]) -> None:
    net, batch = served
    altered = batch._replace(images=batch.images.flip(-1))
    torch.testing.assert_close(net(altered).output, net.model(altered.images))
    relabelled = batch._replace(labels=batch.labels.clone())
    net(relabelled)
    assert net.calls == 2
    batch.images.mul_(0.5)  # the same object, but no longer what was stored
    torch.testing.assert_close(net(batch).output, net.model(batch.images))
    assert net.calls == 3


def test_the_batch_of_another_step_is_not_served(served: tuple[Net, Any]) -> None:
    net, batch = served
    net.served.now(loader().step(1)[0], 1)
    net(batch)
    assert net.calls == 1


def test_the_same_tensors_in_another_tuple_are_the_same_batch(served: tuple[Net, Any]) -> None:
    """As when a wrapper for several processes takes a batch apart and puts it together again."""
    net, batch = served
    net(type(batch)(*batch))
    assert net.calls == 0
    assert net(batch, until="2").taps.keys() >= {"2"}


def test_gradient_through_the_network_is_not_served(served: tuple[Net, Any]) -> None:
    net, batch = served
    batch.images.requires_grad_()
    net(batch).output.sum().backward()
    assert batch.images.grad is not None
    assert net.calls == 1


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
