"""Importing an optional package where it is used."""

from __future__ import annotations

import importlib
from types import ModuleType

from limbeck.core.errors import MissingPackage


def imported(name: str, *, extra: str) -> ModuleType:
    """Import a module of an optional dependency.

    Args:
        name: dotted name of the module, e.g. `timm.data`.
        extra: the extra of limbeck that installs it.

    Raises:
        MissingPackage: it, or a package that it needs itself, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise MissingPackage(package, extra) from error
