"""The data of a specialist: some classes apart, and all others as one.

G. Hinton, O. Vinyals, J. Dean, arXiv:1503.02531, section 5.3: a specialist learns from images of which half belong to
its own classes and half are drawn at random from all others; the latter share one class, the dustbin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from limbeck.core.errors import DataError, close
from limbeck.core.settings import settings
from limbeck.data.dataset import Dataset
from limbeck.data.parts import Part

DUSTBIN = "(any other)"
"""The name of the class that holds all others; it comes last."""


@settings
class Confused:
    """Classes that a network confuses with each other: one of several clusters, see `limbeck.evaluate.confusable`.

    The network is the one that the specialist starts from, so such data can be loaded for a run only.

    Args:
        cluster: which one, counted from 0.
        of: how many clusters there are.
        size: classes of each.
        seed: of the clustering; another one gives other clusters, so that several specialists know a class.
    """

    cluster: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.cluster >= self.of:
            raise ValueError(f"cluster {self.cluster} does not exist: of {self.of}, counted from 0")


@settings
class Special:
    """Which classes are told apart.

    Args:
        classes: their names, at least one, or how a network's confusions give them; all other classes become one, the
            dustbin, after them.
        share: of an epoch's images that show these classes. An epoch has all of their images once, and as many of the
            others as follow from the share, other ones in each epoch. Held-out images stay as frequent as they are.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=1)] | Confused
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5

    def applied(self, dataset: Dataset) -> Dataset:
        """The data as a specialist sees them.

        Raises:
            DataError: the classes are not known without a network, one is unknown or named twice, none is left for the
                dustbin, or the share asks for more other images than there are.
        """
        if isinstance(self.classes, Confused):
            raise DataError("data.special.classes follow from a network's confusions; only a run can load such data")
        return self._divided(dataset, self.classes)

    def _divided(self, dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
        numbers = _numbers(classes, dataset.classes)
        train = _marked(dataset.train, numbers)
        known, dustbin = train.labels[train.labels >= 0], len(classes)
        others = int((known == dustbin).sum())
        special = len(known) - others
        drawn = round(special * (1 - self.share) / self.share)
        if not 0 < drawn <= others:
            raise DataError(
                f"data.special: {special} images of its classes, as a share of {self.share}, go with {drawn} others; "
                f"there are {others}. Expected at least one and no more than that: change share or classes"
            )
        told: dict[str, str | int | float | None] = {
            "classes": dustbin + 1,
            "special": ", ".join(classes),
            "drawn": drawn,
        }
        return replace(
            dataset,
            train=train,
            validation=None if dataset.validation is None else _marked(dataset.validation, numbers),
            test=None if dataset.test is None else _marked(dataset.test, numbers),
            classes=(*classes, DUSTBIN),
            at_most={dustbin: drawn},
            description={**dataset.description, **told},
        )


def _numbers(special: tuple[str, ...], classes: tuple[str, ...]) -> Int64[Tensor, " c"]:
    """For each class of the data its number for the specialist."""
    for name in special:
        if name not in classes:
            raise DataError(f"data.special.classes: the data has no class {name!r}; {close(name, classes)}")
    if len(set(special)) < len(special) or len(special) >= len(classes):
        raise DataError(
            f"data.special.classes: expected fewer than the data's {len(classes)} classes, each once, "
            f"got {len(special)}: {', '.join(special)}"
        )
    own = {name: number for number, name in enumerate(special)}
    return torch.tensor([own.get(name, len(own)) for name in classes])


def _marked(part: Part, numbers: Int64[Tensor, " c"]) -> Part:
    """The same images under the specialist's labels; unlabelled ones stay so."""
    numbers = numbers.to(part.labels.device)
    return part.with_labels(torch.where(part.labels < 0, part.labels, numbers[part.labels.clamp_min(0)]))
