"""A cache of a small network's passes, filled and served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from limbeck.core.forward_pass import ForwardPass
from limbeck.core.net import Kind, Net
from limbeck.data.augment import Augment
from limbeck.data.loader import Loader
from limbeck.data.parts import InMemory
from limbeck.tasks.classification import Classification
from limbeck.train.cache import Cache
from limbeck.train.filling import Filling
from limbeck.train.served import Stored
from limbeck.train.settings import Cached
from little import CLASSES, conv_net, run

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
    example = type(example)(*(column[:7] for column in example))  # another number than in a batch of a view
    parts = {"key": {"of": "test"}, "view": made.view, "example": example, "ids": TASK.key, "who": "teacher"}
    return Filling(run=run or whole, rows=COUNT, views=max(1, views), settings=settings, **parts)


def filled(folder: Path, net: Net, views: int = 3, *, settings: Cached = EXACT) -> Cache:
    cache = Cache(folder / "cache")
    filling(net, views, settings=settings).into(cache, say=lambda _line: None, done=lambda _count: None)
    return cache


def serving(net: Net, cache: Cache, data: Loader) -> Net:
    net.served = Stored(cache, ids=data.ids, key=TASK.key, view_at=data.view_at)
    return net
