"""Parquet and Arrow tables of images, read with the `datasets` package."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64
from torch import Tensor

from limbeck.core.errors import DataError, MissingPackage, close
from limbeck.data.batches import UNLABELLED
from limbeck.data.files import WHOLE_LIMIT
from limbeck.data.pictures import ALIASES

if TYPE_CHECKING:
    import datasets

_KNOWN = re.compile(rf"({'|'.join(name for names in ALIASES.values() for name in names)})(?=[-_.]|$)")


class Rows:
    """Encoded images in one column of a table; see `images.Reader`.

    Args:
        table: the split.
        column: the images, as `datasets` stores them (bytes, or bytes and a path).
        name: the split, for messages.

    Raises:
        DataError: there is no such column, or it does not hold encoded images.
    """

    def __init__(self, table: datasets.Dataset, column: str, *, name: str) -> None:
        from datasets import Image

        if column not in table.column_names:
            raise DataError(f"data.image: {name} has no column {column!r}; {close(column, table.column_names)}")
        try:
            # decoded by images.py, as files are: one place for channels, orientation and errors
            self.table = table.select_columns([column]).cast_column(column, Image(decode=False))
        except (TypeError, ValueError, NotImplementedError) as error:
            raise DataError(
                f"data.image: column {column!r} of {name} is {table.features[column]}, not encoded images"
            ) from error
        self.column, self.name = column, name

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def read(self, rows: Sequence[int]) -> Iterator[tuple[bytes, str]]:
        """See `images.Reader`."""
        for row, cell in zip(rows, self.table[list(rows)][self.column], strict=True):
            name = f"{self.name}, row {row}"
            if cell is None or (cell["bytes"] is None and cell["path"] is None):
                raise DataError(f"{name}: column {self.column!r} is empty")
            if cell["bytes"] is not None:
                yield cell["bytes"], name
                continue
            try:
                yield Path(cell["path"]).read_bytes(), f"{cell['path']} ({name})"
            except OSError as error:
                raise DataError(f"{name}: cannot read {cell['path']}: {error.strerror or error}") from error


def class_names(table: datasets.Dataset, column: str, *, name: str) -> tuple[str, ...]:
    """The classes: a ClassLabel's names, the sorted values of a text column, or the numbers up to the largest.

    Raises:
        DataError: there is no such column, or it holds neither text nor whole numbers.
    """
    feature = _label_feature(table, column, name)
    if hasattr(feature, "names"):
        return tuple(feature.names)
    values = {value for value in column_values(table, column) if value is not None}
    if all(isinstance(value, str) for value in values):
        return tuple(sorted(values))
    if not all(isinstance(value, int) for value in values):
        raise DataError(f"data.label: column {column!r} of {name} is {feature}; expected class names or whole numbers")
    return tuple(str(number) for number in range(max(values, default=-1) + 1))


def class_labels(
    table: datasets.Dataset, column: str, classes: tuple[str, ...], *, name: str
) -> Int64[Tensor, " rows"]:
    """Each row's class number; empty cells and -1, the usual mark of an unpublished label, become -100.

    Raises:
        DataError: there is no such column, or a label is none of the classes.
    """
    _label_feature(table, column, name)
    numbers = {value: number for number, value in enumerate(classes)}
    labels = []
    for row, value in enumerate(column_values(table, column)):
        number = numbers.get(value, -2) if isinstance(value, str) else UNLABELLED if value in (None, -1) else int(value)
        if not (number == UNLABELLED or 0 <= number < len(classes)):
            known = close(value, classes) if isinstance(value, str) else f"expected 0 … {len(classes) - 1}"
            raise DataError(
                f"{name}, row {row}: label {value!r} is none of the training split's {len(classes)}; {known}"
            )
        labels.append(number)
    return torch.tensor(labels, dtype=torch.int64)


def column_values(table: datasets.Dataset, column: str) -> list[Any]:
    """A column's cells as they are stored: nothing is decoded."""
    return table.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()


def table_files(folder: Path, *, pattern: str = "**/*") -> dict[str, list[Path]]:
    """The Parquet or Arrow files below a folder, by split.

    A file belongs to the split that its name starts with (`train-00000-of-00001.parquet`), or that its folder is
    called, or else to the split called by its name up to the first dash.

    Args:
        folder: where to look; or one file.
        pattern: glob of the files to consider.

    Raises:
        DataError: the files of one split lie in several folders, as those of several configurations do.
    """
    found = [folder] if folder.is_file() else sorted(folder.glob(pattern))
    splits: dict[str, list[Path]] = defaultdict(list)
    for path in found:
        if path.suffix in (".parquet", ".arrow") and path.is_file():
            splits[_split_of(path)].append(path)
    for split, files in splits.items():
        folders = sorted({path.parent.name for path in files})
        if len(folders) > 1:
            raise DataError(
                f"the split {split} of {folder} lies in several folders: {', '.join(folders)}. Set data.configuration "
                "to the one to use"
            )
    return dict(splits)


def opened(files: Mapping[str, Sequence[Path]]) -> dict[str, datasets.Dataset]:
    """Open splits: Parquet up to 2 GiB in memory, more through the `datasets` cache; Arrow files mapped.

    Raises:
        MissingPackage: `datasets` is not installed.
        DataError: a file is damaged.
    """
    library = require_datasets()
    small = sum(path.stat().st_size for paths in files.values() for path in paths) <= WHOLE_LIMIT
    tables = {}
    for split, paths in files.items():
        pieces = []
        for path in paths:
            try:
                pieces.append(_opened(library, path, small=small))
            except (OSError, ValueError, library.exceptions.DatasetsError) as error:
                raise DataError(f"cannot read {path}: {error}. Fetch it again") from error
        tables[split] = library.concatenate_datasets(pieces)
    return tables


def require_datasets(extra: str = "vision") -> ModuleType:
    """The `datasets` package.

    Args:
        extra: of limbeck, that the message for a missing package names.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingPackage("datasets", extra) from error
    return datasets


def _opened(library: ModuleType, path: Path, *, small: bool) -> datasets.Dataset:
    if path.suffix == ".arrow":
        return library.Dataset.from_file(str(path))
    if small:
        import pyarrow.parquet

        # straight into memory: `load_dataset` would first write a copy of the set into its cache
        return library.Dataset(library.table.InMemoryTable(pyarrow.parquet.read_table(path)))
    return library.Dataset.from_parquet(str(path))


def _split_of(path: Path) -> str:
    own, parent = _KNOWN.match(path.stem), _KNOWN.fullmatch(path.parent.name)
    if own:
        return own.group(1)
    return parent.group(1) if parent else path.stem.split("-")[0]


def _label_feature(table: datasets.Dataset, column: str, name: str) -> object:
    if column not in table.column_names:
        raise DataError(f"data.label: {name} has no column {column!r}; {close(column, table.column_names)}")
    return table.features[column]
