"""A safetensors file of tensors with one row per sample, written batch after batch and read where it lies.

safetensors' own writer wants all tensors in memory first. The format is a length, a header in JSON, and the bytes, so
the header can be written before the bytes are known, and the bytes through a memory map. Reading maps the file too:
only the rows that are asked for come into memory, and the system may drop them again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from limbeck.core.files import atomic_path

CODES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The types that can be stored, and their names in the format."""

Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
"""Name -> type and shape, rows included."""


@contextmanager
def written(path: Path, layout: Layout) -> Iterator[dict[str, Tensor]]:
    """Give the body mapped tensors to fill; the file has its name only when the body ended well.

    Args:
        path: of the file.
        layout: what it will hold.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    # wide types first, so that every tensor begins at a multiple of its own size
    names = sorted(layout, key=lambda name: -layout[name][0].itemsize)
    header: dict[str, dict[str, Any]] = {}
    end = 0
    for name in names:
        dtype, shape = layout[name]
        start, end = end, end + dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.flush()
            # a full disk is found here: in the middle of a map it would end the process
            os.posix_fallocate(file.fileno(), 0, 8 + len(text) + end)
        mapped = torch.from_file(str(temporary), shared=True, size=8 + len(text) + end, dtype=torch.uint8)
        yield {name: _at(mapped, 8 + len(text), header[name]["data_offsets"], *layout[name]) for name in names}


def _at(mapped: Tensor, base: int, place: list[int], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return mapped[base + place[0] : base + place[1]].view(dtype).view(shape)


def mapped(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; their bytes are read when they are used."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
