"""Where in a person's own code an error came up, so that a message can say it without a traceback."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

_LIBRARIES = (*(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")), str(Path(__file__).parents[1]))
_OTHERS = ("<", *(f"{folder}{os.sep}" for folder in _LIBRARIES))


def line_of(error: BaseException) -> str:
    """The innermost line that belongs to no library, as ` (mynets.py, line 12, in forward)`; else an empty text.

    Args:
        error: that was caught.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OTHERS)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
