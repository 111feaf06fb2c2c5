"""Stored passes equal live ones on the very pixels of training, and answer for no other batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.core.net import Net
from limbeck.train.cache import Cache
from limbeck.train.settings import Cached
from train.storing import filled, filling, loader, serving, teacher


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
