"""Finished runs that nobody trained: predictions with a known number of errors, and curves as they are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.data.dataset import Dataset
from limbeck.evaluate.predictions import Predictions
from limbeck.sweep.finished import Finished

CLASSES = 10


class Made(Finished):
    """A finished run.

    Args:
        errors: by network ("last", "best"): which test images it gets wrong.
        images: tested; image i shows class i mod 10.
        curves: lines of its metrics.
        network: what it delivers.
        data: what it was trained on.
        logits: of the test images, where they matter beyond being right or wrong.
    """

    def __init__(
        self,
        errors: Mapping[str, Sequence[int]],
        *,
        images: int = 1000,
        curves: Sequence[dict[str, Any]] = (),
        network: nn.Module | None = None,
        data: Dataset | None = None,
        logits: Tensor | None = None,
    ) -> None:
        object.__setattr__(self, "_made", (errors, images, list(curves), network, data, logits))

    @property
    def curves(self) -> list[dict[str, Any]]:
        return self._made[2]

    @property
    def data(self) -> Dataset:
        return self._made[4]

    def network(self, which: str | None = None) -> nn.Module:
        return self._made[3]

    def predictions(self, which: str = "last") -> Predictions:
        errors, images, *_, logits = self._made
        labels = torch.arange(images) % CLASSES
        if logits is None:
            answers = labels.clone()
            answers[list(errors[which])] = (answers[list(errors[which])] + 1) % CLASSES
            logits = 3.0 * nn.functional.one_hot(answers, CLASSES).float()
        return Predictions(logits=logits, labels=labels, ids=torch.arange(images))


def wrong_on(*several: Sequence[int], images: int = 1000, **rest: Any) -> tuple[Made, ...]:
    """One finished run per seed, each with these errors."""
    return tuple(Made({"last": errors, "best": errors}, images=images, **rest) for errors in several)


class Leaning(nn.Module):
    """Knows every image's class (it is written into the pixels), and leans to or away from some classes."""

    def __init__(self, bias: dict[int, float]) -> None:
        super().__init__()
        self.bias = torch.zeros(CLASSES)
        for digit, value in bias.items():
            self.bias[digit] = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :CLASSES] * 255 / 20 + self.bias
