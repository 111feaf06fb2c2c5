"""What all data sets of labelled images have in common: the recipe's keys, the cuts, and where the pixels stay.

A set is a `@settings` class that says where its files are (`files`) and what is in them (`find`); a user's own class
does the same. Cuts are made in this order, each stratified by class and decided by a hash of the sample's id under
seed 0, so they are the same on every machine:

    subset        keeps a part of the training images; the rest is used nowhere
    validation    is held out of what is left (a validation split of the source is used instead, whole, if there is one)
    drop_classes  leave the training part only: validation and test still contain them
    labelled      images keep their label; the others stay, without it
    special       classes stay apart; all others become one, of which an epoch shows a few
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field

from limbeck.core.errors import DataError, close
from limbeck.core.settings import settings
from limbeck.data.augment import Augment
from limbeck.data.batches import UNLABELLED
from limbeck.data.dataset import Dataset, channel_statistics
from limbeck.data.files import fingerprint, root_folder
from limbeck.data.parts import InMemory, OnDisk, Part
from limbeck.data.selection import amount_of, others, stratified
from limbeck.data.special import Special

MEMORY_LIMIT = 2 << 30
"""Bytes of decoded images up to which `memory: auto` keeps a set in memory."""

SEED = 0
Amount = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0.0, le=1.0)]


class Found(NamedTuple):
    """What a source holds, before any cut.

    Args:
        train: every training image.
        validation: if the source has such a split; its ids continue those of train.
        test: if the source has such a split with labels.
        classes: the names; labels are indices into them.
        note: what a report should say about this set; may be empty.
    """

    train: Part
    validation: Part | None
    test: Part | None
    classes: tuple[str, ...]
    note: str = ""


@settings
class ImageData(ABC):
    """Fields of every image data set.

    Args:
        root: the folder of data sets; by default the environment variable LIMBECK_DATA.
        batch: images per micro-batch, over all processes together.
        augment: how training images vary.
        validation: how many images (int) or what share (float) of train is held out; 0 = none. A source's own
            validation split is used whole instead.
        labelled: how many or what share of the training images keep their label; None = all.
        subset: how many or what share of the training images is used at all; None = all.
        drop_classes: names of classes that training never shows.
        special: for a specialist: the classes that it tells apart, by name or by a network's confusions.
        size: scale images to cover a square of so many pixels a side, and cut its centre; None = as they are.
        memory: decode once into memory (true), at each use (false), or by size: up to 2 GiB are kept (auto).
        workers: processes that read and transform images; they serve sets on disk and `augment.transforms`.
        prefetch: steps that each worker prepares ahead.
        pin_memory: whether what workers made passes through page-locked memory, from where a GPU copies while it
            computes; auto = if there is a GPU.
    """

    title: ClassVar[str]

    root: str | None = None
    batch: Annotated[int, Field(ge=1)] = 128
    augment: Augment = Augment()
    validation: Amount = 0.1
    labelled: Amount | None = None
    subset: Amount | None = None
    drop_classes: tuple[str, ...] = ()
    special: Special | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    memory: bool | Literal["auto"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 2
    prefetch: Annotated[int, Field(ge=1)] = 2
    pin_memory: bool | Literal["auto"] = "auto"

    @property
    def name(self) -> str:
        """What messages and reports call this set."""
        return self.title

    @abstractmethod
    def files(self) -> Mapping[str, Path]:
        """The files that `find` reads, under names that do not depend on where the set lies."""

    @abstractmethod
    def find(self) -> Found:
        """Everything that the source holds."""

    def folder(self) -> Path:
        """The folder of data sets.

        Raises:
            DataError: neither `root` nor LIMBECK_DATA is a folder.
        """
        return root_folder(self.root)

    def fingerprint(self) -> str:
        """Identifies the data by the contents of its files; nothing is decoded.

        Raises:
            DataError: a file is missing.
        """
        return fingerprint(self.files())

    def load(self) -> Dataset:
        """Find, cut and, where it fits, decode.

        Raises:
            DataError: files are missing or damaged, or the cuts leave nothing to learn from.
        """
        found = self.find()
        if len(found.classes) < 2:
            named = ", ".join(found.classes) or "none"
            raise DataError(f"{self.name}: expected at least two classes to tell apart, got {named}")
        if not len(found.train):
            raise DataError(f"{self.name}: there are no training images")
        train, validation = self._held_out(found)
        train = self._with_fewer_labels(self._without_dropped(train, found.classes), found.classes)
        parts = [self._placed(part) for part in (train, validation, found.test) if part is not None]
        if self.memory != "auto" or sum(_bytes(part) for part in parts) <= MEMORY_LIMIT:
            parts = [part.in_memory() if isinstance(part, OnDisk) and self.memory else part for part in parts]
        train, rest = parts[0], parts[1:]
        test = rest.pop() if found.test is not None else None
        validation = rest.pop() if rest else None
        mean, std = channel_statistics(train)
        dataset = Dataset(
            train=train,
            validation=validation,
            test=test,
            classes=found.classes,
            mean=mean,
            std=std,
            description=self._description(train, validation, test, found),
        )
        return dataset if self.special is None else self.special.applied(dataset)

    def _held_out(self, found: Found) -> tuple[Part, Part | None]:
        train = found.train
        if self.subset is not None:
            count = amount_of(self.subset, total=len(train), key="data.subset")
            train = train.take(stratified(train.labels, train.ids, count=count, seed=SEED))
        if found.validation is not None or not self.validation:
            return train, found.validation if self.validation else None
        train, validation = cut(train, self.validation, key="data.validation")
        if not len(train) or not len(validation):
            raise DataError(
                f"data.validation {self.validation} of {len(train) + len(validation)} training images leaves "
                f"{len(train)} to train on and {len(validation)} to validate on; both must have some (0 = none)"
            )
        return train, validation

    def _without_dropped(self, train: Part, classes: tuple[str, ...]) -> Part:
        for name in self.drop_classes:
            if name not in classes:
                raise DataError(f"data.drop_classes: {self.name} has no class {name!r}; {close(name, classes)}")
        dropped = torch.tensor([classes.index(name) for name in self.drop_classes], dtype=torch.int64)
        if len(dropped):
            train = train.take((~torch.isin(train.labels, dropped)).nonzero()[:, 0])
        if not len(train):
            raise DataError(f"{self.name}: data.subset and data.drop_classes leave no training images")
        kept = [name for name in classes if name not in self.drop_classes]
        self._require_each(train, classes, kept, "data.subset and data.validation leave it none")
        return train

    def _with_fewer_labels(self, train: Part, classes: tuple[str, ...]) -> Part:
        if self.labelled is None:
            return train
        known = (train.labels >= 0).nonzero()[:, 0]
        count = amount_of(self.labelled, total=len(known), key="data.labelled")
        chosen = known[stratified(train.labels[known], train.ids[known], count=count, seed=SEED)]
        labels = torch.full_like(train.labels, UNLABELLED)
        labels[chosen] = train.labels[chosen]
        if count:
            kept = [name for name in classes if name not in self.drop_classes]
            why = f"data.labelled {self.labelled} is too few for {len(kept)} classes (0 = no labels at all)"
            self._require_each(train.take(chosen), classes, kept, why)
        return train.with_labels(labels)

    def _require_each(self, part: Part, classes: tuple[str, ...], kept: list[str], why: str) -> None:
        present = set(part.labels.unique().tolist())
        missing = [name for name in kept if classes.index(name) not in present]
        if missing:
            named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
            raise DataError(f"{self.name}: no labelled training image of {named}; either the source has none, or {why}")

    def _placed(self, part: Part) -> Part:
        if isinstance(part, InMemory):
            if self.memory is False:
                raise DataError(f"data.memory: false is for sets of image files; {self.name} is always in memory")
            return part.resized(self.size) if self.size else part
        return part

    def _description(
        self, train: Part, validation: Part | None, test: Part | None, found: Found
    ) -> dict[str, str | int | float | bool | None]:
        return {
            "name": self.name,
            "classes": len(found.classes),
            "channels": train.shape.channels,
            "height": train.shape.height,
            "width": train.shape.width,
            "train": len(train),
            "labelled": int((train.labels >= 0).sum()),
            "validation": 0 if validation is None else len(validation),
            "test": 0 if test is None else len(test),
            "dropped": ", ".join(self.drop_classes),
            "in_memory": isinstance(train, InMemory),
            "note": found.note,
        }


def cut(part: Part, amount: float, *, key: str) -> tuple[Part, Part]:
    """Two parts: the rest, and a stratified selection of `amount` (a count or a share) that is held out."""
    count = amount_of(amount, total=len(part), key=key)
    held = stratified(part.labels, part.ids, count=count, seed=SEED)
    return part.take(others(held, total=len(part))), part.take(held)


def _bytes(part: Part) -> int:
    return part.decoded_bytes if isinstance(part, OnDisk) else 0
