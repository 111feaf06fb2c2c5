"""Files that are written whole or not at all.

A file is written under a temporary name in its own folder, flushed to the disk, and only then given its name: no reader
meets half a file after a crash or on a full disk, and an older file of that name stays until the new one is safe.

    write_atomically   bytes, or a function that writes into an open file
    atomic_path        for libraries that insist on a path of their own
    write_json         a small document
    append_line        one line of a log: whole as well, but without the cost of a flush to the disk
    disk_errors        for whoever else makes files and folders
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from limbeck.core.errors import RunError

TEMPORARY = ".part"
"""Ending of files that are being written; their names begin with a dot. One that stays belonged to a killed process."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EIO,
)


def write_atomically(path: str | Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all; missing folders are made.

    Args:
        path: the file's final name; a file of that name is replaced in the last step.
        content: the bytes, or a function that writes them into the open binary file it is given
            (`lambda file: torch.save(state, file)`).

    Raises:
        RunError: the disk is full or the folder cannot be written.
        Exception: whatever `content` raises; the file of that name is then untouched and no temporary is left.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if callable(content):
            content(file)
        else:
            file.write(content)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give the body a temporary path in the same folder; what it wrote there becomes `path` when the body ends well.

    Args:
        path: the file's final name.

    Raises:
        RunError: the disk is full or the folder cannot be written.
        Exception: whatever the body raises; `path` is then untouched and no temporary is left.
    """
    final = Path(path)
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        # A trimmed name, because the whole name of a file may already be as long as the file system allows.
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name[:80]}.", suffix=TEMPORARY)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            temporary.chmod(0o644)  # mkstemp makes it readable by its owner only
            temporary.replace(final)
        except BaseException:  # also an interrupt from the keyboard must not leave a temporary
            with suppress(OSError):
                temporary.unlink()
            raise
        _flush(final.parent)  # the new name itself must survive a power cut


def write_json(path: str | Path, document: Any) -> None:
    """Write a document as indented UTF-8 JSON, whole or not at all.

    Args:
        path: the file's final name.
        document: dictionaries with string keys, lists, strings, finite numbers, booleans and None.

    Raises:
        ValueError: a number is not finite; JSON has no such number, so say None instead.
        TypeError: a value has no JSON form.
        RunError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def append_line(path: str | Path, line: str) -> None:
    r"""Append one line to a log; the file is made if there is none, missing folders too.

    The line goes to the system in one call: a killed process leaves it whole or not at all. It is not flushed to the
    disk, so that a log with a line per step costs microseconds.

    Args:
        path: the log.
        line: text without a line break at its end or inside.

    Raises:
        ValueError: the line contains a line break.
        RunError: the disk is full or the folder cannot be written; no part of the line is left in the file.
    """
    if "\n" in line or "\r" in line:
        raise ValueError(f"expected one line of text, came one with a line break: {line[:80]!r}; write it in two calls")
    data = f"{line}\n".encode()
    log = Path(path)
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab", buffering=0) as file:
            start = file.seek(0, os.SEEK_END)
            # A disk that fills up within the line takes its beginning and reports no error.
            if file.write(data) != len(data):
                file.truncate(start)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals into a RunError that names the file and the next action.

    Args:
        path: what the body writes or makes.

    Raises:
        RunError: the disk is full or the folder cannot be written.
        Exception: whatever else the body raises.
    """
    try:
        yield
    except Exception as error:
        refusal = _refusal(error, path)
        if refusal is None:
            raise
        if refusal.errno in _FULL:
            advice = f"free space on the disk of {path.parent.absolute()} and run the same command again"
        else:
            advice = "make the folder writable, or choose another one, and run the same command again"
        raise RunError(f"cannot write {path}: {refusal.strerror}; {advice}") from error


def _flush(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refusal(error: BaseException | None, path: Path) -> OSError | None:
    """The disk's refusal behind an error: torch's and other writers wrap it in exceptions of their own."""
    own = {str(path), *map(str, path.parents)}  # a place such as /proc says of a new folder that it does not exist
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL + _REFUSED:
            return error
        if isinstance(error, FileNotFoundError) and str(error.filename) in own:
            return error
        error = error.__cause__ or error.__context__
    return None
