"""Files to deploy, each verified against the live network."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from limbeck.core.errors import ExportError, close

if TYPE_CHECKING:
    from limbeck.export.verify import Exported

FORMATS = {
    "onnx": "onnx:export",
    "safetensors": "safetensors:export",
    "torch_export": "torch_export:export",
}
"""Format -> file of this room and the function in it."""

SUFFIXES = {"onnx": ".onnx", "safetensors": ".safetensors", "torch_export": ".pt2"}
"""Format -> how its files are usually named."""


def exporter(name: str) -> Callable[..., Exported]:
    """The function that writes a format: `export(network, path, samples, *, metadata=None) -> Exported`.

    Args:
        name: one of `FORMATS`.

    Raises:
        ExportError: there is no such format.
    """
    if name not in FORMATS:
        raise ExportError(f"'{name}' is not a format that limbeck exports; {close(name, FORMATS)}")
    module, function = FORMATS[name].split(":")
    export: Callable[..., Exported] = getattr(import_module(f"limbeck.export.{module}"), function)
    return export
