"""Networks from a Python path `package.module:callable`: a user's own code, and limbeck's zoo."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import pydantic

from limbeck.core.errors import LimbeckError, ModelError, close
from limbeck.models import ZOO
from limbeck.models.arguments import Builder, Interface, check_names, named_parameters
from limbeck.models.own_code import line_of


def build_from_path(path: str, arguments: Mapping[str, Any], interface: Interface, *, pretrained: bool) -> object:
    """Call a user's function or class.

    Args:
        path: `package.module:callable`; dots after the colon reach into classes.
        arguments: passed by keyword; they win over what the interface would give.
        interface: `classes` and `channels` are passed if the signature names them, `height` and `width` if it names
            both (a lone `width` means something else in most networks).
        pretrained: passed if true; the callable must then have such an argument.

    Raises:
        ModelError: the path leads nowhere, the arguments do not fit the signature, or the callable itself raises.
    """
    builder = _found(path)
    return _called(path, builder, _fitting(path, builder, arguments, interface, pretrained=pretrained))


def build_from_zoo(name: str, arguments: Mapping[str, Any], interface: Interface, *, pretrained: bool) -> object:
    """Build one of limbeck's own networks; types and ranges of the arguments are checked.

    Args:
        name: a key of `ZOO`.
        arguments: of the network's function.
        interface: as in `build_from_path`.
        pretrained: must be false: no weights are published for these networks.

    Raises:
        ModelError: the arguments do not fit, weights were asked for, or the network cannot be built with them.
    """
    if pretrained:
        raise ModelError(f"{name} has no published weights; train it, or give `weights: PATH`")
    file, _, function = ZOO[name].partition(":")
    builder = getattr(importlib.import_module(f"limbeck.models.{file}"), function)
    values = _fitting(name, builder, arguments, interface, pretrained=False)
    try:
        return _called(name, pydantic.validate_call(config=pydantic.ConfigDict(strict=True))(builder), values)
    except pydantic.ValidationError as error:
        wrong = (f"{_where(e['loc'])}: {e['msg']}, got {e['input']!r}" for e in error.errors())
        raise ModelError(f"{name} cannot be built; " + "; ".join(wrong)) from error


def _found(path: str) -> Builder:
    module_name, _, attributes = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the user's module exists; something that it imports does not
        raise ModelError(f"{path}: no module {error.name!r}; is it installed, or in the current folder?") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            public = [name for name in dir(found) if not name.startswith("_")]
            raise ModelError(f"{path}: {module_name} has no {attribute!r} ({close(attribute, public)})")
        found = getattr(found, attribute)
    if not callable(found):
        raise ModelError(f"{path} is a {type(found).__name__}; expected a function or class that gives an nn.Module")
    return found


def _fitting(
    name: str, builder: Builder, arguments: Mapping[str, Any], interface: Interface, *, pretrained: bool
) -> dict[str, Any]:
    known, any_other = named_parameters(builder)
    if not any_other:
        check_names(name, arguments, known)
    offered: dict[str, Any] = {"channels": interface.channels}
    if interface.classes is not None:
        offered["classes"] = interface.classes
    if {"height", "width"} <= known:
        offered |= {"height": interface.height, "width": interface.width}
    values = {key: value for key, value in offered.items() if key in known} | dict(arguments)
    if pretrained:
        if "pretrained" not in known:
            raise ModelError(f"{name} has no argument 'pretrained'; give `weights: PATH` to load weights")
        values["pretrained"] = True
    try:
        inspect.signature(builder).bind(**values)
    except TypeError as error:
        raise ModelError(f"{name} cannot be built: {error}") from error
    return values


def _called(name: str, builder: Builder, values: Mapping[str, Any]) -> object:
    try:
        return builder(**values)
    except (LimbeckError, pydantic.ValidationError):
        raise
    except Exception as error:  # a builder can fail in any way
        where = line_of(error)
        raise ModelError(f"{name} cannot be built: {type(error).__name__}: {error}{where}") from error


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))
