"""CIFAR-10 and CIFAR-100 in the layouts in which they are found.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Layouts: the original Python pickles (as
torchvision keeps them), the original binary files, and Parquet tables of encoded images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from limbeck.core.errors import DataError
from limbeck.core.settings import settings
from limbeck.data.files import first_folder
from limbeck.data.parts import InMemory
from limbeck.data.pictures import Labelled, Role, assembled
from limbeck.data.source import Found, ImageData
from limbeck.data.tables import Rows, class_labels, class_names, opened, table_files
from limbeck.data.unpickling import read_arrays

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


class Layout(NamedTuple):
    """How one of the two sets names its files and fields."""

    folders: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    pickled_names: tuple[str, str]
    binary_names: str
    label: str
    label_bytes: int
    columns: tuple[str, ...]


TEN = Layout(
    folders=("cifar-10-batches-py", "cifar-10-batches-bin", "data", "plain_text"),
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    pickled_names=("batches.meta", "label_names"),
    binary_names="batches.meta.txt",
    label="labels",
    label_bytes=1,
    columns=("label",),
)
HUNDRED = Layout(
    folders=("cifar-100-python", "cifar-100-binary", "data", "cifar100"),
    train=("train",),
    test=("test",),
    pickled_names=("meta", "fine_label_names"),
    binary_names="fine_label_names.txt",
    label="fine_labels",
    label_bytes=2,
    columns=("fine_label", "label"),
)


@settings
class Cifar10(ImageData):
    """50,000 training and 10,000 test images of 10 classes, 32x32 in colour.

    Looked for as cifar-10-batches-py, cifar-10-batches-bin or Parquet files (train*.parquet, test*.parquet), in root
    and root/cifar10.
    """

    title: ClassVar[str] = "cifar10"
    layout: ClassVar[Layout] = TEN
    classes: ClassVar[int] = 10

    def files(self) -> Mapping[str, Path]:
        """The files of the first layout that is there, by their own names."""
        layout = self.layout
        first = layout.train[0]
        holding = (first, f"{first}.bin", "train*.parquet")
        places = [f"{above}{name}" for above in ("", f"{self.title}/") for name in (".", *layout.folders)]
        folder = first_folder(self.folder(), places, holding=holding, what=self.title)
        if (folder / first).is_file():
            names = [*layout.train, *layout.test, layout.pickled_names[0]]
        elif (folder / f"{first}.bin").is_file():
            names = [*(f"{name}.bin" for name in layout.train + layout.test), layout.binary_names]
        else:
            tables = table_files(folder, pattern="*.parquet")
            names = [path.name for split in ("train", "test") for path in tables.get(split, [Path(f"{split}.parquet")])]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise DataError(f"{folder} is incomplete: {', '.join(missing)} missing; unpack {self.title} again")
        return {name: folder / name for name in names}

    def find(self) -> Found:
        """Both parts, from whichever layout is there.

        Raises:
            DataError: files are missing or damaged.
        """
        files, layout = self.files(), self.layout
        if layout.train[0] in files:
            names_file, key = layout.pickled_names
            names = read_arrays(files[names_file]).get(key, ())
            train, test = ([_pickled(files[name], layout) for name in group] for group in (layout.train, layout.test))
        elif f"{layout.train[0]}.bin" in files:
            names = files[layout.binary_names].read_text(encoding="utf-8").split()
            train, test = (
                [_binary(files[f"{name}.bin"], layout) for name in group] for group in (layout.train, layout.test)
            )
        else:
            return self._tables(files)
        if len(names) != self.classes:
            raise DataError(f"{self.title}: expected {self.classes} class names, got {len(names)}; unpack it again")
        return Found(self._joined(train), None, self._joined(test), tuple(names))

    def _joined(self, pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> InMemory:
        pixels = np.concatenate([piece[0] for piece in pieces]).reshape(-1, 3, _SIDE, _SIDE)
        labels = torch.from_numpy(np.concatenate([piece[1] for piece in pieces]).astype(np.int64))
        if len(labels) != len(pixels) or (
            len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes
        ):
            raise DataError(
                f"{self.title}: its labels do not fit: one of 0 … {self.classes - 1} for each image expected"
            )
        return InMemory(torch.from_numpy(pixels), labels, torch.arange(len(labels)))

    def _tables(self, files: Mapping[str, Path]) -> Found:
        roles: tuple[Role, ...] = ("train", "test")
        tables = opened({role: [path for name, path in files.items() if name.startswith(role)] for role in roles})
        columns = tables["train"].column_names
        image = next((name for name in ("image", "img") if name in columns), "image")
        label = next((name for name in self.layout.columns if name in columns), self.layout.columns[0])
        classes = class_names(tables["train"], label, name=f"{self.title} (train)")
        splits = {}
        for role in roles:
            name = f"{self.title} ({role})"
            labels = class_labels(tables[role], label, classes, name=name)
            splits[role] = Labelled(Rows(tables[role], image, name=name), labels)
        return assembled(splits, classes, title=self.title, size=self.size, channels=3)


@settings
class Cifar100(Cifar10):
    """50,000 training and 10,000 test images of 100 classes, 32x32 in colour.

    Looked for as cifar-100-python, cifar-100-binary or Parquet files (train*.parquet, test*.parquet), in root and
    root/cifar100.
    """

    title: ClassVar[str] = "cifar100"
    layout: ClassVar[Layout] = HUNDRED
    classes: ClassVar[int] = 100


def _pickled(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    content = read_arrays(path)
    pixels, labels = content.get("data"), content.get(layout.label)
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (_PIXELS,)
        or labels is None
    ):
        raise DataError(f"{path}: expected uint8 'data' of shape [n, {_PIXELS}] and {layout.label!r}; unpack it again")
    return pixels, np.asarray(labels)


def _binary(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    data, record = np.fromfile(path, np.uint8), layout.label_bytes + _PIXELS
    if len(data) % record:
        raise DataError(f"{path} holds {len(data)} bytes, not a multiple of {record} per image; it is damaged")
    rows = data.reshape(-1, record)
    # CIFAR-100 stores the coarse label first
    return np.ascontiguousarray(rows[:, layout.label_bytes :]), rows[:, layout.label_bytes - 1]
