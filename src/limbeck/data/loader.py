"""Batches as a pure function of the step.

Which samples step s sees follows from (seed, epoch, ids), how each looks from (seed, epoch, id); nothing is remembered
from one step to the next. So training resumes at any step, any number of processes share one order, and what training
saw can be asked for again (`Loader.replay`).

With `views` the pixels of an epoch are those of view `epoch mod views`, and do not depend on the seed; the order still
does. So whatever was computed once from the pixels of every view (`Loader.view`) holds for all epochs and seeds.

Sets in memory are served by the calling process. Images on disk, and per-sample transforms, are served by the workers
of a torch `DataLoader` whose items are whole steps, in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import Dataset as Items

from limbeck.core.errors import DataError
from limbeck.data.augment import Augment, augmented
from limbeck.data.batches import ImageBatch, unit_pixels
from limbeck.data.mixing import mixed, mixed_labels, partners
from limbeck.data.parts import InMemory, Part
from limbeck.data.randomness import ORDER, shuffled
from limbeck.data.selection import drawn as drawn_for
from limbeck.data.serving import Item, Pin, moved, moved_ahead, pins, served
from limbeck.data.transforms import built

VIEWS_SEED = 0
"""Of the augmentation of views: the seed of a run must not make its teacher's stored outputs useless to another."""


class Loader:
    """Training batches without an end.

    Args:
        part: the training part.
        batch: images per micro-batch, over all processes together.
        augment: how images vary.
        seed: of the order and the augmentation.
        classes: how many; mixed labels have so many columns.
        rank: this process, 0 … world - 1; it gets every world-th sample of each micro-batch.
        world: how many processes.
        device: where the batches are delivered. A set in memory moves there as a whole, unless transforms need it here.
        accumulate: micro-batches per optimiser step.
        workers: processes for images on disk and for transforms; 0 = this one.
        prefetch: steps that each worker prepares ahead.
        pin_memory: whether workers' batches pass through page-locked memory; auto = on their way to a CUDA device.
        at_most: class number -> how many of its samples an epoch has, drawn anew for each; absent = all.
        views: how many differently augmented views of each sample there are, whatever the seed; 0 = one view without
            augmentation; absent = every epoch and every seed has its own.

    Raises:
        DataError: the part is too small for so many processes, or a transform is unknown.
    """

    def __init__(
        self,
        part: Part,
        *,
        batch: int,
        augment: Augment = Augment(),  # noqa: B008 - frozen
        seed: int,
        classes: int,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
        accumulate: int = 1,
        workers: int = 0,
        prefetch: int = 2,
        pin_memory: Pin = "auto",
        at_most: Mapping[int, int] | None = None,
        views: int | None = None,
    ) -> None:
        self._device, self._views = torch.device(device), views
        augment = Augment() if views == 0 else augment
        self._transforms = built(augment.transforms)
        self._in_workers = workers if self._transforms or not isinstance(part, InMemory) else 0
        self._prefetch, self._pin = prefetch, pins(pin_memory, self._device, workers=self._in_workers)
        # a transform draws from the generator of its tensor's device, and only the CPU's is seeded per sample
        if isinstance(part, InMemory) and not self._transforms:
            part = part.to(self._device)
        self._part, self._augment, self._seed, self._classes = part, augment, seed, classes
        self._rank, self._world, self._at_most = rank, world, dict(at_most or {})
        if self._at_most and augment.mixes:
            raise DataError("mixup and cutmix mix all samples, but an epoch has only some of them; set both to 0")
        self._length = len(self._drawn(epoch=0))
        self._step_size = min(batch * accumulate, self._length)
        self._micro_batches = min(accumulate, self._step_size)
        if self._step_size // max(1, self._micro_batches) < world:
            raise DataError(
                f"{self._length} training images in micro-batches of {batch} are too few for {world} processes: each "
                "micro-batch must hold at least one image per process"
            )
        self._order: tuple[int, Int64[Tensor, " n"]] | None = None

    @property
    def device(self) -> torch.device:
        """Where batches are delivered."""
        return self._device

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch; an incomplete last one is left out, unless it is the only one."""
        return self._length // self._step_size

    def batches(self, start_step: int = 0) -> Iterator[list[ImageBatch]]:
        """For each optimiser step, from `start_step` on and without end, its micro-batches.

        Args:
            start_step: counted from 0 over all epochs.

        Raises:
            DataError: an image cannot be read.
        """
        steps = self._served(_Steps(self), itertools.count(start_step))
        if self._in_workers and self._device.type == "cuda":
            return moved_ahead(steps, self._device)
        return ([moved(batch, self._device) for batch in step] for step in steps)

    def step(self, step: int) -> list[ImageBatch]:
        """The micro-batches of one optimiser step; the same whenever it is asked for."""
        epoch, index = divmod(step, self.steps_per_epoch)
        positions = self._epoch_order(epoch)[index * self._step_size : (index + 1) * self._step_size]
        micro_batches = positions.tensor_split(self._micro_batches)
        return [self._batch(micro[self._rank :: self._world], epoch) for micro in micro_batches]

    def replay(self, ids: Int64[Tensor, " k"], epoch: int) -> Float[Tensor, "k c h w"]:
        """What training saw, or will see, of these samples.

        Args:
            ids: as in `ImageBatch.ids`.
            epoch: counted from 0.

        Raises:
            DataError: an id is not in the training part.
        """
        known, order = self._part.ids.sort()
        asked = ids.to(known.device)
        places = torch.searchsorted(known, asked).clamp(max=len(known) - 1)
        if not torch.equal(known[places], asked):
            missing = asked[known[places] != asked]
            raise DataError(
                f"{len(missing)} of {len(asked)} ids are not in the training part, first {missing[:5].tolist()}"
            )
        return self._batch(order[places], epoch).images.to(self._device)

    @property
    def ids(self) -> Int64[Tensor, " n"]:
        """Of all samples, in ascending order."""
        return self._part.ids.sort().values

    def view_at(self, step: int) -> int:
        """The view that an optimiser step sees; with `views` only."""
        return step // self.steps_per_epoch % max(1, self._views or 0)

    def view(self, view: int) -> Iterator[ImageBatch]:
        """Every sample of a view once, by ascending id, whichever process this is; with `views` only.

        Args:
            view: counted from 0.

        Raises:
            DataError: an image cannot be read.
        """
        chunks = self._part.ids.argsort().split(self._step_size // self._micro_batches)
        for batch in self._served(_View(self, view, chunks), range(len(chunks))):
            yield moved(batch, self._device)

    def _served(self, items: Items[Item], order: Iterable[int]) -> Iterator[Item]:
        return served(items, order, workers=self._in_workers, prefetch=self._prefetch, pin=self._pin)

    def _epoch_order(self, epoch: int) -> Int64[Tensor, " n"]:
        if self._order is None or self._order[0] != epoch:
            drawn = self._drawn(epoch)
            order = shuffled(self._part.ids[drawn], seed=self._seed, purpose=ORDER, epoch=epoch)
            self._order = epoch, drawn[order]
        return self._order[1]

    def _drawn(self, epoch: int) -> Int64[Tensor, " k"]:
        """The positions of the samples that an epoch has."""
        return drawn_for(self._part.labels, self._part.ids, at_most=self._at_most, seed=self._seed, epoch=epoch)

    def _batch(self, positions: Int64[Tensor, " b"], epoch: int) -> ImageBatch:
        part, augment = self._part, self._augment
        seed, epoch = self._draw(epoch)
        ids, labels = part.ids[positions], part.labels[positions]
        images = self._seen(positions, seed, epoch)
        if not augment.mixes:
            return ImageBatch(images, labels, ids)
        other = partners(ids, among=len(part), seed=seed, epoch=epoch)
        images, share = mixed(images, self._seen(other, seed, epoch), ids, augment=augment, seed=seed, epoch=epoch)
        return ImageBatch(images, mixed_labels(labels, part.labels[other], share, classes=self._classes), ids)

    def _draw(self, epoch: int) -> tuple[int, int]:
        """The seed and the epoch from which augmentation draws."""
        return (self._seed, epoch) if self._views is None else (VIEWS_SEED, epoch % max(1, self._views))

    def _seen(self, positions: Int64[Tensor, " b"], seed: int, epoch: int) -> Float[Tensor, "b c h w"]:
        pixels, ids, kinds = self._part.pixels_at(positions), self._part.ids[positions], self._transforms
        return unit_pixels(augmented(pixels, ids, augment=self._augment, seed=seed, epoch=epoch, transforms=kinds))


def steps_in(samples: int, *, batch: int, accumulate: int) -> int:
    """Optimiser steps in an epoch of so many samples."""
    return samples // min(batch * accumulate, samples)


def evaluation_batches(
    part: Part,
    *,
    batch: int = 512,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    prefetch: int = 2,
    pin_memory: Pin = "auto",
) -> Iterator[ImageBatch]:
    """Every sample once, in order, as it is.

    Args:
        part: what to evaluate on.
        batch: images per batch; the last one may be smaller.
        device: where the batches are delivered.
        rank: this process; it gets the samples rank, rank + world, ...
        world: how many processes.
        workers: processes that decode images on disk.
        prefetch: batches that each worker prepares ahead.
        pin_memory: as in `Loader`.

    Raises:
        DataError: an image cannot be read.
    """
    positions = torch.arange(len(part), device=part.ids.device)[rank::world]
    chunks = _Chunks(part, [chunk for chunk in positions.split(batch) if len(chunk)])
    workers, target = 0 if isinstance(part, InMemory) else workers, torch.device(device)
    pin = pins(pin_memory, target, workers=workers)
    for outcome in served(chunks, range(len(chunks)), workers=workers, prefetch=prefetch, pin=pin):
        yield moved(outcome, target)


class _Steps(Items[list[ImageBatch]]):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __getitem__(self, step: int) -> list[ImageBatch]:
        return self.loader.step(step)


class _View(Items[ImageBatch]):
    def __init__(self, loader: Loader, view: int, chunks: Sequence[Int64[Tensor, " _"]]) -> None:
        self.loader, self.view, self.chunks = loader, view, chunks

    def __getitem__(self, index: int) -> ImageBatch:
        return self.loader._batch(self.chunks[index], self.view)


class _Chunks(Items[ImageBatch]):
    def __init__(self, part: Part, chunks: Sequence[Int64[Tensor, " _"]]) -> None:
        self.part, self.chunks = part, chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> ImageBatch:
        positions, part = self.chunks[index], self.part
        return ImageBatch(unit_pixels(part.pixels_at(positions)), part.labels[positions], part.ids[positions])
