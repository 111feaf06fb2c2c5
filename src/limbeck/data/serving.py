"""Items made ahead by worker processes, and the way of their tensors to the device.

The workers live as long as the iteration, which for training is endless. On the way to a GPU a batch is put into
page-locked memory by a thread of the loader, because only from there a copy runs beside everything else; and the copy
of a step is issued one step early, on a stream of its own, so that it runs while the step before is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as Items

from limbeck.core.errors import DataError
from limbeck.data.batches import ImageBatch

Item = TypeVar("Item")
Pin = bool | Literal["auto"]
"""Whether workers' batches go through page-locked memory; "auto" = where they go to a CUDA device."""


def served(
    items: Items[Item], order: Iterable[int], *, workers: int, prefetch: int = 2, pin: bool = False
) -> Iterator[Item]:
    """The items in this order, made by worker processes if there are any.

    Args:
        items: by index; must be picklable.
        order: of the indices; may be endless.
        workers: processes; 0 = this one, when an item is asked for.
        prefetch: items that each worker has ready or in the making.
        pin: put the tensors into page-locked memory; needs workers and a GPU.

    Raises:
        DataError: as the items do.
    """
    if not workers:
        yield from (items[index] for index in order)
        return
    made = DataLoader(
        _Told(items),
        sampler=_Order(order),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch,
        pin_memory=pin,
        generator=torch.Generator(),  # without one of its own the loader would draw from torch's global one
    )
    for outcome in made:
        if isinstance(outcome, str):
            raise DataError(outcome)
        yield outcome


def pins(pin_memory: Pin, device: torch.device, *, workers: int) -> bool:
    """Whether batches are to be put into page-locked memory.

    Args:
        pin_memory: what was asked for.
        device: where the batches go.
        workers: that make them; nothing else is worth it.

    Raises:
        DataError: it was asked for, but the batches do not go to a GPU.
    """
    if pin_memory is True and workers and device.type != "cuda":
        raise DataError(f"data.pin_memory: true, but batches go to the {device.type}; expected auto or false")
    return bool(pin_memory) and workers > 0 and device.type == "cuda"


def moved(batch: ImageBatch, device: torch.device) -> ImageBatch:
    """The batch on a device."""
    return ImageBatch(*(tensor.to(device, non_blocking=True) for tensor in batch))


def moved_ahead(steps: Iterator[list[ImageBatch]], device: torch.device) -> Iterator[list[ImageBatch]]:
    """The micro-batches of each step on a CUDA device, where the copy of a step runs during the step before.

    Args:
        steps: from workers, in the memory of the CPU.
        device: of type "cuda".
    """
    beside = torch.cuda.Stream(device)
    ahead: list[ImageBatch] | None = None
    for step in steps:
        with torch.cuda.stream(beside):
            coming = [moved(batch, device) for batch in step]
        if ahead is not None:
            yield ahead
        # Only now, when all kernels of the step before are queued: they must not wait for this copy. Whatever comes
        # next does, and its memory must not be given to a later copy before it was used.
        current = torch.cuda.current_stream(device)
        current.wait_stream(beside)
        for batch in coming:
            for tensor in batch:
                tensor.record_stream(current)
        ahead = coming
    if ahead is not None:
        yield ahead


class _Told(Items[Any]):
    """Turns a DataError into its text: a worker's exceptions arrive wrapped in a traceback."""

    def __init__(self, items: Items[Any]) -> None:
        self.items = items

    def __getitem__(self, index: int) -> Any:
        try:
            return self.items[index]
        except DataError as error:
            return str(error)


class _Order(Sampler[int]):
    def __init__(self, order: Iterable[int]) -> None:
        self.order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)
