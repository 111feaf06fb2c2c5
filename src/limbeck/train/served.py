"""Stored passes in the place of a frozen network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from limbeck.core.forward_pass import ForwardPass
from limbeck.core.net import tensors_in
from limbeck.train.cache import Cache, tap_types
from limbeck.train.recorded import restored

ON_DEVICE = 1 << 30
"""A view of at most so many bytes moves to the accelerator as a whole; of a larger one, each batch's rows do."""


class Stored:
    """Answers for a frozen network from a complete cache.

    Only for the batch that `now` was told of, tensor by tensor the same objects and not changed in place since: what a
    method made of it is another batch, on which the network itself must run.

    Args:
        cache: every file of it is checked here, before anything is served.
        ids: of the cache's rows, ascending.
        key: the ids of a batch.
        view_at: the view that a step sees.
        device: of the batches.

    Raises:
        RunError: a file is damaged or missing.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        ids: Int64[Tensor, " n"],
        key: Callable[[Any], Tensor],
        view_at: Callable[[int], int],
        device: torch.device | str = "cpu",
    ) -> None:
        cache.check()
        manifest = cache.manifest()
        self._cache, self._key, self._view_at, self._device = cache, key, view_at, torch.device(device)
        self._ids = ids.to(self._device)
        self._types, self._classes = tap_types(manifest), manifest["classes"]
        self._temperature: float | None = manifest["temperature"]
        self._current: list[tuple[Tensor, int]] = []
        self._seen: list[list[tuple[Tensor, int]]] = []  # batches of the step, as they were when they first came
        self._step = -1
        self._view: tuple[int, dict[str, Tensor]] | None = None

    def now(self, batch: Any, step: int) -> None:
        """The batch of the data that is current, and its step. In a later turn of the step it is not taken for new."""
        given = tensors_in(batch)
        if step != self._step:
            self._seen, self._step = [], step
        for one in self._seen:
            if len(one) == len(given) and all(mine is his for mine, (his, _) in zip(given, one, strict=True)):
                self._current = one
                return
        self._current = [(tensor, tensor._version) for tensor in given]
        self._seen.append(self._current)

    def __call__(self, batch: Any, *, until: str | None = None) -> ForwardPass | None:
        """The stored pass; `None` for any other batch than the current one."""
        if not self._is_current(batch):
            return None
        tensors = self._tensors(self._view_at(self._step))
        rows = torch.searchsorted(self._ids, self._key(batch))
        found = {}
        for name, tensor in tensors.items():
            # index_select copies whole rows; indexing with a tensor goes element by element
            found[name] = tensor.index_select(0, rows.to(tensor.device)).to(self._device)
        return restored(found, self._types, classes=self._classes, until=until, temperature=self._temperature)

    def _is_current(self, batch: Any) -> bool:
        given = tensors_in(batch)
        if not self._current or len(given) != len(self._current):
            return False
        pairs = zip(given, self._current, strict=True)
        return all(one is known and one._version == version for one, (known, version) in pairs)

    def _tensors(self, view: int) -> dict[str, Tensor]:
        if self._view is None or self._view[0] != view:
            tensors = self._cache.view(view)
            if self._device.type != "cpu" and sum(tensor.nbytes for tensor in tensors.values()) <= ON_DEVICE:
                tensors = {name: tensor.to(self._device) for name, tensor in tensors.items()}
            self._view = view, tensors
        return self._view[1]
