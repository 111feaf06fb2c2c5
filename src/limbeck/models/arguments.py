"""Checking a user's arguments against the function that builds a network.

Some libraries swallow what they do not know (`**kwargs` that nobody reads), others fail deep inside. Here a wrong name
is found before anything is built, and the nearest right one is shown.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from limbeck.core.errors import ModelError, close

Builder = Callable[..., Any]


@dataclass(frozen=True)
class Interface:
    """What a network has to take and to give.

    Args:
        classes: number of logits; absent = as many as the published weights give.
        channels: of the images.
        height: of the images, pixels.
        width: of the images, pixels.
    """

    classes: int | None
    channels: int
    height: int
    width: int


def check_names(network: str, arguments: Iterable[str], known: Iterable[str]) -> None:
    """Refuse arguments that the network does not have.

    Args:
        network: its name, for the message.
        arguments: names that came.
        known: names that exist.

    Raises:
        ModelError: lists every unknown name with the nearest known ones.
    """
    names = sorted(known)
    wrong = [argument for argument in arguments if argument not in names]
    if wrong:
        told = "; ".join(f"{argument!r} ({close(argument, names)})" for argument in wrong)
        raise ModelError(f"{network} has no argument {told}")


def named_parameters(builder: Builder) -> tuple[set[str], bool]:
    """The names that a callable takes, and whether it takes any others through `**kwargs`.

    Args:
        builder: function or class.

    Raises:
        ModelError: it is one of the few built-in callables that do not tell.
    """
    try:
        parameters = inspect.signature(builder).parameters.values()
    except ValueError as error:
        raise ModelError(f"{builder} tells no signature; wrap it in a function of your own") from error
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def parameters_within(builder: Builder) -> set[str]:
    """Every parameter name of a library's builder, of its helper functions and of the networks that they make.

    Such builders hand `**kwargs` from one to the next, so the names that work stand somewhere along the way: in the
    functions of the builder's own file, and in the classes of networks that they name, with their bases. The answer may
    hold too many names (those of layers in that file), hardly too few.

    Args:
        builder: the function that the library lists under the network's name.
    """
    names: set[str] = set()
    waiting: list[Any] = [inspect.unwrap(builder)]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if inspect.isfunction(found) and found.__module__ == builder.__module__:
            names |= named_parameters(found)[0]
            waiting += [inspect.unwrap(f) for f in map(found.__globals__.get, found.__code__.co_names) if callable(f)]
        elif inspect.isclass(found) and issubclass(found, nn.Module) and found is not nn.Module:
            # its bases too: `*args, **kwargs` reach them
            names |= named_parameters(found)[0]
            waiting += found.__bases__
    return names - {"self", "args", "kwargs"}


def unexpected_argument(network: str, error: TypeError, known: Iterable[str]) -> ModelError:
    """Turn the TypeError of a library that refused an argument into ours.

    Args:
        network: its name, for the message.
        error: as raised.
        known: names that exist, for the nearest ones.
    """
    match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if match is None:
        return ModelError(f"{network} cannot be built: {error}")
    return ModelError(f"{network} has no argument {match[1]!r} ({close(match[1], sorted(known))})")


def require_none(network: str, arguments: Mapping[str, object], reserved: Mapping[str, str]) -> None:
    """Refuse arguments of a library that limbeck sets itself.

    Args:
        network: its name, for the message.
        arguments: what came.
        reserved: name of the argument to what should be used instead.

    Raises:
        ModelError: names the argument and what to use.
    """
    for name in sorted(arguments.keys() & reserved.keys()):
        raise ModelError(f"{network}: {name!r} is not an argument here; use {reserved[name]}")
