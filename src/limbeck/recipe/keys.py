"""The keys of a settings class, for people: default, what is allowed, and what the docstring says of them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from limbeck.recipe.names import TABLES

REQUIRED = "required"
_PLAIN: Mapping[type, str] = {
    bool: "true, false",
    int: "whole number",
    float: "number",
    str: "text",
    NoneType: "null",
}


@dataclasses.dataclass(frozen=True)
class Key:
    """One key.

    Args:
        name: in a recipe.
        default: as a recipe writes it, or `required`.
        allowed: in words, such as `network, ensemble` or `whole number, at least 2`; empty where it takes a page.
        meaning: from the docstring.
    """

    name: str
    default: str
    allowed: str
    meaning: str


def keys_of(cls: Any) -> list[Key]:
    """The keys that a class's docstring, or that of one that it stands on, explains below `Args:`.

    Args:
        cls: made by `settings`.

    >>> from limbeck.methods.dml import DML
    >>> [f"{key.name} = {key.default}: {key.allowed}" for key in keys_of(DML)][:2]
    ['peers = 2: whole number, at least 2', 'updates = sequential: sequential, simultaneous']
    """
    meanings, hints = _meanings(cls), get_type_hints(cls, include_extras=True)
    return [
        Key(field.name, default(field), allowed(hints[field.name]), meanings[field.name])
        for field in dataclasses.fields(cls)
        if field.name in meanings
    ]


def default(field: dataclasses.Field[Any]) -> str:
    """The default of a field as a recipe writes it, or `required`."""
    value = field.default
    if isinstance(value, FieldInfo):
        value = value.get_default(call_default_factory=True)
    return REQUIRED if value is dataclasses.MISSING else _yaml(value)


def allowed(hint: Any) -> str:
    """What a type hint allows, in words; empty where that is a class of settings with keys of its own.

    >>> from pydantic import Field
    >>> allowed(Annotated[float, Field(gt=0, le=1)] | Literal["auto"] | None)
    'number, above 0, at most 1; or auto; or null'
    >>> allowed(Annotated[tuple[float, ...], Field(min_length=1)])
    'list, not empty; each: number'
    """
    rules: list[Any] = []
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        rules += [part for rule in more for part in ([rule, *rule.metadata] if isinstance(rule, FieldInfo) else [rule])]
    if get_origin(hint) in (Union, UnionType):
        return _one_of(get_args(hint))
    if get_origin(hint) is Literal:
        return ", ".join(map(_yaml, get_args(hint)))
    if get_origin(hint) is tuple:
        return _several(get_args(hint), rules)
    words = next((words for plain, words in _PLAIN.items() if hint is plain), "")
    return ", ".join((words, *_limits(rules))) if words else ""


def _one_of(members: tuple[Any, ...]) -> str:
    names = [_named(member) for member in members]
    if all(names):
        return ", ".join(names)
    return "; or ".join(dict.fromkeys(allowed(member) or "mapping" for member in members))


def _several(members: tuple[Any, ...], rules: list[Any]) -> str:
    if members[-1] is not Ellipsis:
        return f"list of {len(members)}; each: {allowed(members[0])}"
    each = allowed(members[0])
    return ", ".join(("list", *_limits(rules))) + (f"; each: {each}" if each else "")


def _limits(rules: list[Any]) -> list[str]:
    """What rules say of a number, the length of a list, or the form of a text."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = {name: f"{getattr(rule, name):g}" for rule in rules for name in words if hasattr(rule, name)}
    if {"ge", "le"} <= limits.keys():
        told = [f"{limits['ge']} to {limits['le']}"]
    else:
        told = [f"{words[name]} {limit}" for name, limit in limits.items()]
    told += ["not empty" for rule in rules if getattr(rule, "min_length", None)]
    examples = [example for rule in rules for example in getattr(rule, "examples", None) or ()]
    return [*told, *(f"such as {example}" for example in examples)]


def _named(hint: Any) -> str:
    """The constant `name` of one of several classes between which a recipe chooses by it."""
    fields = getattr(hint, "__dataclass_fields__", {})
    name = fields["name"].default if "name" in fields else None
    return name if isinstance(name, str) else ""


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if dataclasses.is_dataclass(value):
        chosen = (table.name_of(type(value)) for table in TABLES)
        return _named(type(value)) or next(filter(None, chosen), "{}")
    return "{}" if isinstance(value, Mapping) and not value else str(value)


def _meanings(cls: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, arguments = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Args:\n")
        last = ""
        for line in arguments.split("\n\n")[0].splitlines():
            if line.startswith("     "):
                found[last] += f" {line.strip()}"
            else:
                last, _, meaning = line.strip().partition(": ")
                found[last] = meaning
    found.pop("", None)
    return found
