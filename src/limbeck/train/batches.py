"""What the loop asks of data."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Protocol, runtime_checkable

import numpy
import torch

from limbeck.core.errors import DataError


@runtime_checkable
class Batches(Protocol):
    """An endless, repeatable stream: the same step always gives the same batches."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps that make one pass over the data."""

    def batches(self, start_step: int = 0) -> Iterator[Sequence[Any]]:
        """From an optimiser step on: the micro-batches of each step, of this process."""


class Cycle:
    """A list of batches, over and over, one per step: for small data and for a user's own lists.

    Args:
        batches: at least one.
    """

    def __init__(self, batches: Sequence[Any]) -> None:
        if not batches:
            raise ValueError("expected at least one batch, got none")
        self._batches = list(batches)

    @property
    def steps_per_epoch(self) -> int:
        """The length of the list."""
        return len(self._batches)

    def batches(self, start_step: int = 0) -> Iterator[Sequence[Any]]:
        """Batch `step % len` at each step."""
        step = start_step
        while True:
            yield [self._batches[step % len(self._batches)]]
            step += 1


class Epochs:
    """A `DataLoader`, or anything else that gives one pass over the data whenever it is iterated.

    A pass begins under a seed that follows from `seed` and its number, whatever was drawn before: the order of a
    shuffling loader, and what its workers draw, are the same whenever an epoch is asked for, so that a training can be
    resumed in the middle of one. The batches before that place are then read again.

    Of several processes each needs a loader of its own share, as `DistributedSampler` gives. Samplers are told the
    epoch (`set_epoch`), and generators of their own and of the loader are seeded.

    Args:
        loader: of known length.
        seed: of the order of every pass.
        accumulate: batches of the loader per optimiser step.

    Raises:
        ValueError: the loader has no length, is empty, or keeps its workers from pass to pass.
    """

    def __init__(self, loader: Iterable[Any], *, seed: int = 0, accumulate: int = 1) -> None:
        self._loader, self._length = loader, _length_of(loader)
        if getattr(loader, "persistent_workers", False):
            raise ValueError(
                "expected a DataLoader with persistent_workers=False: workers that are kept are not seeded anew for "
                "each pass, so a training could not be resumed with the same result"
            )
        self._seed, self._accumulate, self._epoch = seed, accumulate, 0

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one pass; the last one may have fewer batches."""
        return -(-self._length // self._accumulate)

    def batches(self, start_step: int = 0) -> Iterator[Sequence[Any]]:
        """From an optimiser step on."""
        epoch, step = divmod(start_step, self.steps_per_epoch)
        while True:
            first, rest = self._begin(epoch, skip=step * self._accumulate)
            waiting = chain([first], rest)
            for _ in range(step, self.steps_per_epoch):
                group = list(islice(waiting, self._accumulate))
                if not group:
                    raise DataError(self._too_few(epoch))
                yield group
            epoch, step = epoch + 1, 0

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """What is read inside of another pass leaves the one that is going on as it would have been."""
        epoch, parts = self._epoch, self._parts()
        generators = [part.generator for part in parts if isinstance(getattr(part, "generator", None), torch.Generator)]
        states = [generator.get_state() for generator in generators]
        try:
            yield
        finally:
            if self._epoch != epoch:
                self._tell(epoch)
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)

    def _tell(self, epoch: int) -> None:
        self._epoch = epoch
        for part in self._parts():
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def _begin(self, epoch: int, *, skip: int) -> tuple[Any, Iterator[Any]]:
        """The first batch after those that are skipped, and the iterator that gives the others.

        A sampler draws its order when it is asked for the first batch, so that is done here, under the epoch's seed.
        """
        with seeded(f"{self._seed}/epoch/{epoch}") as number:
            self._tell(epoch)
            for part in self._parts():
                if isinstance(getattr(part, "generator", None), torch.Generator):
                    part.generator.manual_seed(number)
            rest = iter(self._loader)
            first = next(islice(rest, max(skip - 1, 0), None), self)  # `self` stands for none
        if skip:
            first = next(rest, self)
        if first is self:
            raise DataError(self._too_few(epoch))
        return first, rest

    def _parts(self) -> list[Any]:
        """The loader and its samplers, each once."""
        batch_sampler = getattr(self._loader, "batch_sampler", None)
        samplers = (getattr(self._loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
        return list({id(part): part for part in (self._loader, *samplers) if part is not None}.values())

    def _too_few(self, epoch: int) -> str:
        return (
            f"epoch {epoch} of the batches ended before their length, {self._length}; expected as many in every pass: "
            "let the data set's length be that of its shortest pass"
        )


def _length_of(loader: Any) -> int:
    """How many batches a pass has; raises ValueError where that is not known, or none."""
    try:
        length = len(loader)
    except TypeError:
        length, came = 0, f"{type(loader).__name__} without a length"
    else:
        came = "an empty one"
    if not length:
        raise ValueError(f"expected batches of one pass over the data, such as a DataLoader; got {came}")
    return length


def seed_of(name: str) -> int:
    """The seed that follows from a name.

    A hash, because seeding a generator to draw the seeds of others takes longer than seeding all of them.
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())


@contextmanager
def seeded(name: str) -> Iterator[int]:
    """Seed torch's, Python's and NumPy's generators from a name, and give them their states back afterwards."""
    number = seed_of(name)
    state, others = random.getstate(), numpy.random.get_state()  # noqa: NPY002 - a user's transforms may draw from it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(number)
            random.seed(number)
            numpy.random.seed(number % 2**32)  # noqa: NPY002
            yield number
    finally:
        random.setstate(state)
        numpy.random.set_state(others)  # noqa: NPY002


class SameEpoch:
    """Batches of a part of the data, counted in epochs of the whole: equal budgets are equal numbers of steps.

    Args:
        batches: of the part.
        steps_per_epoch: of the whole.
    """

    def __init__(self, batches: Batches, steps_per_epoch: int) -> None:
        self._batches, self._steps = batches, steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Of the whole."""
        return self._steps

    def batches(self, start_step: int = 0) -> Iterator[Any]:
        """Of the part."""
        return self._batches.batches(start_step)


class Repeatable:
    """An iterable that can be iterated again and again, from a function that gives an iterator once."""

    def __init__(self, make: Callable[[Any], Iterable[Any]], part: Any) -> None:
        self._make, self._part = make, part

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make(self._part))
