"""Finding a data set's files, and telling whether they are the same as before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from limbeck.core.errors import DataError

WHOLE_LIMIT = 2 << 30
_END = 64 << 10
_BLOCK = 1 << 20


def root_folder(root: str | None) -> Path:
    """The folder of data sets: `root`, or else the environment variable LIMBECK_DATA.

    Raises:
        DataError: neither is set, or it is not a folder.
    """
    chosen = root or os.environ.get("LIMBECK_DATA")
    if not chosen:
        raise DataError(
            "where are the data sets? Set data.root, or the environment variable LIMBECK_DATA, to their folder"
        )
    path = Path(chosen).expanduser()
    if not path.is_dir():
        origin = "data.root" if root else "LIMBECK_DATA"
        raise DataError(f"{origin} is {path}, which is not a folder")
    return path


def first_folder(root: Path, names: Iterable[str], *, holding: Iterable[str], what: str) -> Path:
    """The first of the folders root/name in which one of some files lies.

    Args:
        root: from `root_folder`.
        names: relative to root; "." is root itself.
        holding: glob patterns; a folder qualifies when one of them matches.
        what: the data set's name, for the message.

    Raises:
        DataError: there is none; says where was looked and for what.
    """
    names, holding = list(dict.fromkeys(names)), list(holding)
    for name in names:
        folder = root / name
        if any(path.is_file() for pattern in holding for path in folder.glob(pattern)):
            return folder
    looked = ", ".join(str(root / name) for name in names)
    raise DataError(
        f"{what} not found: expected {' or '.join(holding)} in one of {looked}. Set data.root, or the environment "
        "variable LIMBECK_DATA, to the folder that holds it; limbeck downloads nothing"
    )


def fingerprint(files: Mapping[str, Path], *, whole_limit: int = WHOLE_LIMIT) -> str:
    """A sha256 over the names, sizes and contents of files, as hexadecimal digits.

    Args:
        files: a name that does not depend on where the set lies -> the file.
        whole_limit: bytes; of larger sets only the first and last 64 KiB of each file are read.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        sizes = {name: files[name].stat().st_size for name in sorted(files)}
        whole = sum(sizes.values()) <= whole_limit
        for name, size in sizes.items():
            digest.update(f"{name}\0{size}\0".encode())
            with files[name].open("rb") as file:
                if whole or size <= 2 * _END:
                    while block := file.read(_BLOCK):
                        digest.update(block)
                else:
                    digest.update(file.read(_END))
                    file.seek(-_END, os.SEEK_END)
                    digest.update(file.read(_END))
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return digest.hexdigest()
