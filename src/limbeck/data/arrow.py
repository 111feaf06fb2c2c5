"""Any data set of images in Parquet or Arrow files, as the Hugging Face hub and the `datasets` package store them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from limbeck.core.errors import DataError
from limbeck.core.settings import settings
from limbeck.data.pictures import Labelled, Pictures, assembled
from limbeck.data.source import Found
from limbeck.data.tables import Rows, class_labels, class_names, opened, require_datasets, table_files

if TYPE_CHECKING:
    import datasets

_SAVED = ("dataset_dict.json", "state.json")


@settings
class Datasets(Pictures):
    """A folder or file of tables, or the name of a set on the hub.

    A local path is looked for as it is, then below root. Splits come from the names of the files or of their folders; a
    folder written by `save_to_disk` works too. Anything else of the form OWNER/NAME is taken for a hub name and needs
    the network once; a set that brings its own code is refused by `datasets`.

    Args:
        path: what to load.
        configuration: the hub set's configuration, or the local sub-folder of that name.
        image: the column of encoded images.
        label: the column of labels: ClassLabel, text or whole numbers; -1 or empty = unlabelled.
    """

    title: ClassVar[str] = "datasets"

    path: Annotated[str, Field(min_length=1)]
    configuration: str | None = None
    image: str = "image"
    label: str = "label"

    @property
    def name(self) -> str:
        """The path as given, without the folders that lead to an absolute one."""
        given = Path(self.path)
        return given.stem if given.is_absolute() else self.path

    def files(self) -> Mapping[str, Path]:
        """The local tables, by their paths below the set's folder; none for a set on the hub."""
        place = self._local()
        if place is None:
            return {}
        if place.is_file():
            return {place.name: place}
        kinds = (path for path in sorted(place.rglob("*")) if path.suffix in (".parquet", ".arrow") and path.is_file())
        return {path.relative_to(place).as_posix(): path for path in kinds}

    def fingerprint(self) -> str:
        """Identifies the data by the contents of its files, or by the hub's revision."""
        if self._local() is not None:
            return super().fingerprint()
        library = require_datasets()
        try:
            revision = library.load_dataset_builder(self.path, self.configuration).hash
        except Exception as error:
            raise self._unreachable(error) from error
        return hashlib.sha256(f"{self.path}\0{self.configuration}\0{revision}".encode()).hexdigest()

    def find(self) -> Found:
        """The tables' splits.

        Raises:
            DataError: nothing is there, a column is missing, or a label is out of range.
            MissingPackage: `datasets` is not installed.
        """
        tables = self._tables()
        roles = self.roles(tables)
        classes = class_names(tables[roles["train"]], self.label, name=f"{self.path} ({roles['train']})")
        splits = {}
        for role, split in roles.items():
            name = f"{self.path} ({split})"
            labels = class_labels(tables[split], self.label, classes, name=name)
            splits[role] = Labelled(Rows(tables[split], self.image, name=name), labels)
        return assembled(
            splits, classes, title=self.name, size=self.size, channels=self.channels, held_out=self.held_out
        )

    def _tables(self) -> dict[str, datasets.Dataset]:
        library, place = require_datasets(), self._local()
        if place is None:
            try:
                loaded = library.load_dataset(self.path, self.configuration)
            except Exception as error:
                raise self._unreachable(error) from error
            return dict(loaded)
        if any((place / name).is_file() for name in _SAVED):
            loaded = library.load_from_disk(str(place))
            return dict(loaded) if isinstance(loaded, library.DatasetDict) else {"train": loaded}
        files = table_files(place)
        if not files:
            raise DataError(f"{place} holds neither .parquet nor .arrow files")
        return opened(files)

    def _local(self) -> Path | None:
        given = Path(self.path).expanduser()
        places = [given]
        try:
            places.append(self.folder() / given)
        except DataError:
            # no folder of data sets: it is needed only if the path is relative to it
            if self.root is not None:
                raise
        place = next((place for place in places if place.exists()), None)
        if place is None:
            if given.is_absolute() or self.path.startswith(".") or given.suffix in (".parquet", ".arrow"):
                raise DataError(f"data.path {self.path} does not exist; looked at {', '.join(map(str, places))}")
            if len(given.parts) == 1:
                # the hub would be asked several times, and in vain: every set there has an owner
                raise DataError(
                    f"there is no folder {self.path!r} here, nor below the folder of data sets. Set data.root, or the "
                    "variable LIMBECK_DATA, to the folder that holds it; a set on the hub is called OWNER/NAME"
                )
            return None
        if self.configuration is None:
            return place
        if not (place / self.configuration).is_dir():
            raise DataError(f"data.configuration: {place} has no folder {self.configuration!r}")
        return place / self.configuration

    def _unreachable(self, error: Exception) -> DataError:
        return DataError(
            f"data.path {self.path} is neither a local file or folder (also not below data.root or LIMBECK_DATA) nor "
            f"can it be loaded from the hub: {error}"
        )
