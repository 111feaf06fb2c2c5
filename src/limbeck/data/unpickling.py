"""Reading old pickles of arrays without the risk that comes with pickles.

A pickle may name any function to be called while it is read. Here only the few names are known that rebuild NumPy
arrays; everything else is refused before it is called.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import DataError

_REBUILD_ARRAY = np.ndarray.__reduce__(np.empty(0))[0]
_REBUILD_SCALAR = np.float64(0).__reduce__()[0]


def _text_bytes(text: str, encoding: str) -> bytes:
    # Python 2 wrote bytes as a call of codecs.encode, which would accept any codec
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


_ALLOWED = {
    "_codecs.encode": _text_bytes,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    "numpy.core.multiarray._reconstruct": _REBUILD_ARRAY,
    "numpy._core.multiarray._reconstruct": _REBUILD_ARRAY,
    "numpy.core.multiarray.scalar": _REBUILD_SCALAR,
    "numpy._core.multiarray.scalar": _REBUILD_SCALAR,
}


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array") from None


def read_arrays(path: Path) -> dict[str, Any]:
    """A pickled dictionary of arrays, lists, numbers and text.

    Args:
        path: the file; text that Python 2 wrote is read as Latin-1.

    Raises:
        DataError: it cannot be read, is damaged, or names anything but NumPy's arrays.
    """
    try:
        with path.open("rb") as file:
            content = _Arrays(file, encoding="latin1").load()
    except (
        OSError,
        EOFError,
        pickle.UnpicklingError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
    ) as error:
        raise DataError(
            f"{path} was not read: {error}. Expected a pickle of arrays as published; fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; expected a dictionary of arrays")
    return content
