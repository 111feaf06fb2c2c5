"""Metrics of a training as JSON lines, and sums of loss terms that wait on the device until they are read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import TrainingError
from limbeck.core.files import append_line

NOT_FINITE = (
    "No checkpoint holds such weights. Lower train.optimizer.lr, add a warm-up or train.clip, use precision fp32, or "
    "look for bad values in the data."
)

_MOST_WAITING = 64
"""Batches whose terms wait to be added up."""


def scaled(value: Tensor, weight: Tensor | float) -> Tensor:
    """Value · weight, without the multiplication where the weight is known to be one."""
    return value if not isinstance(weight, Tensor) and weight == 1 else value * weight


class TermSums:
    """Sums of loss terms over steps. Adding never waits for the device; reading does, once for all terms.

    A step only hands its terms over, and they are added up many at a time: for a small network the operations on single
    numbers would take a per cent of the step.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Mapping[str, Tensor], Tensor | float, bool]] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, Tensor], *, weight: Tensor | float, counts: bool) -> None:
        """Add a (micro-)batch's terms, after their backward pass, which frees all that they would keep alive.

        Args:
            terms: name -> scalar.
            weight: the batch's share of its step.
            counts: whether the batch completes a step.
        """
        self._waiting.append((terms, weight, counts))
        if len(self._waiting) >= _MOST_WAITING:
            self._add_up()

    def _add_up(self) -> None:
        parts: dict[str, list[Tensor]] = {}
        for terms, weight, counts in self._waiting:
            for name, value in terms.items():
                parts.setdefault(name, []).append(scaled(value.detach(), weight))
                self._counts[name] = self._counts.get(name, 0) + counts
        for name, values in parts.items():
            total = torch.stack(values).float().sum()
            self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._waiting = []

    def read(self, *, where: str) -> dict[str, float]:
        """The means since the last reading.

        Raises:
            TrainingError: a term is not finite.
        """
        self._add_up()
        if not self._sums:
            return {}
        values = torch.stack(list(self._sums.values())).tolist()
        means = {name: value / max(self._counts[name], 1) for name, value in zip(self._sums, values, strict=True)}
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(f"{where}: the loss term {broken[0]!r} is {means[broken[0]]}. {NOT_FINITE}")
        self._sums, self._counts = {}, {}
        return means


class MetricsFile:
    """`metrics.jsonl`: one JSON object per line; `None` as path keeps everything in memory only.

    Args:
        path: of the file.
        keep_bytes: what to keep of an earlier attempt; the rest belongs to steps that are done again.
    """

    def __init__(self, path: Path | None, *, keep_bytes: int = 0) -> None:
        self._path = path
        if path is not None and path.exists():
            with path.open("r+b") as file:
                file.truncate(min(keep_bytes, path.stat().st_size))

    @property
    def bytes(self) -> int:
        """The length of the file."""
        return self._path.stat().st_size if self._path is not None and self._path.exists() else 0

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one entry."""
        if self._path is not None:
            append_line(self._path, json.dumps(entry))
