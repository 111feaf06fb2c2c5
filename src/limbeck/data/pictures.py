"""Sets of encoded images, in files or in tables: which split plays which role, and what their shape is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from limbeck.core.errors import DataError, close
from limbeck.core.settings import settings
from limbeck.data.images import Reader, probed
from limbeck.data.parts import OnDisk
from limbeck.data.source import Amount, Found, ImageData, cut

Role = Literal["train", "validation", "test"]
ALIASES: dict[Role, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


class Labelled(NamedTuple):
    """One split: encoded images and their labels, -100 where unlabelled."""

    reader: Reader
    labels: Int64[Tensor, " n"]


@settings
class Pictures(ImageData):
    """Fields of the sets whose images are encoded (JPEG, PNG, ...).

    Args:
        splits: role (train, validation, test) -> the source's split that plays it, or null for none. Roles that are
            not mentioned are found by their usual names. `{test: validation}` tests on the source's validation split
            and holds the validation images out of train.
        test: how many or what share of the images is the test part when training is the only role with a split;
            stratified by a fixed seed, before every other cut. 0 = no test part.
        channels: 1 or 3; by default 1 if the images are grey.
    """

    splits: dict[Role, str | None] = Field(default_factory=dict)
    test: Amount = 0.2
    channels: Literal[1, 3] | None = None

    def roles(self, available: Collection[str]) -> dict[Role, str]:
        """Which of the source's splits plays which role.

        Args:
            available: the names of the source's splits.

        Raises:
            DataError: a chosen split does not exist, or there is none to train on.
        """
        for role, name in self.splits.items():
            if name is not None and name not in available:
                raise DataError(f"data.splits.{role}: {self.name} has no split {name!r}; {close(name, available)}")
        taken = {role: name for role, name in self.splits.items() if name is not None}
        for role, aliases in ALIASES.items():
            free = [name for name in aliases if name in available and name not in taken.values()]
            if role not in self.splits and free:
                taken[role] = free[0]
        if "train" not in taken and len(available) == 1 and not self.splits:
            return {"train": next(iter(available))}
        if "train" not in taken:
            raise DataError(
                f"{self.name}: none of the splits {', '.join(sorted(available)) or '(none)'} is called train; "
                "say which one to train on with data.splits: {train: NAME}"
            )
        return taken

    @property
    def held_out(self) -> float:
        """`test`, or none of it where `splits` says which split, if any, is for testing."""
        return 0 if "test" in self.splits else self.test


def assembled(
    splits: Mapping[Role, Labelled],
    classes: tuple[str, ...],
    *,
    title: str,
    size: int | None,
    channels: int | None = None,
    held_out: float = 0,
) -> Found:
    """The parts of a set of encoded images, still on disk.

    Args:
        splits: for each role its images; train must be there.
        classes: the names.
        title: the set's name, for messages.
        size: height and width, if the user chose.
        channels: 1 or 3, if the user or the set's definition chose.
        held_out: how many or what share of train becomes the test part if there is no other split.

    Raises:
        DataError: there are no images, they differ in size, or only some test images have a label.
    """
    train = splits["train"]
    if not len(train.labels):
        raise DataError(f"{title}: there are no training images")
    shape = probed(train.reader, torch.arange(len(train.labels)), size=size, channels=channels)

    def part(split: Labelled, *, first_id: int) -> OnDisk:
        rows = torch.arange(len(split.labels))
        return OnDisk(split.reader, rows, split.labels, rows + first_id, shape, resize=size is not None)

    whole = part(train, first_id=0)
    if held_out and set(splits) == {"train"}:
        rest, test = cut(whole, held_out, key="data.test")
        note = f"{len(test)} of its {len(whole)} images, stratified, are the test part"
        return Found(rest, None, test, classes, note)
    validation = part(splits["validation"], first_id=len(whole)) if "validation" in splits else None
    if "test" not in splits:
        return Found(whole, validation, None, classes)
    scored, note = _scored(part(splits["test"], first_id=0), title)
    return Found(whole, validation, scored, classes, note)


def _scored(test: OnDisk, title: str) -> tuple[OnDisk | None, str]:
    unlabelled = int((test.labels < 0).sum())
    if unlabelled == len(test):
        return None, "its test labels are not published"
    if unlabelled:
        raise DataError(
            f"{title}: {unlabelled} of {len(test)} test images have no label and cannot be scored; remove them, or "
            "choose another split with data.splits: {test: NAME}"
        )
    return test, ""
