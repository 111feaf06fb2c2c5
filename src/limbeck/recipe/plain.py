"""Back from objects to plain data: the canonical form of a recipe, with every default written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from limbeck.recipe.build import fields_of, is_settings
from limbeck.recipe.models import Form, plain_model
from limbeck.recipe.names import TABLES, path_of, table_of


def plain(value: Any, *, names: Mapping[type, str]) -> Any:
    """What JSON can hold, and what builds an equal object again.

    Args:
        value: a settings object, or lists, tuples and mappings of them, or plain values.
        names: class -> the name under which a recipe chose it; classes that only appear as defaults are looked up.
    """
    if isinstance(value, Form):
        return plain_model(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, names=names) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item, names=names) for item in value]
    name = _name(type(value), names)
    if is_settings(type(value)) or name:
        fields = {key: plain(getattr(value, key), names=names) for key in fields_of(type(value))}
        return {"name": name, **fields} if name and "name" not in fields else fields
    return to_jsonable_python(value)


def _name(cls: type, names: Mapping[type, str]) -> str | None:
    """The name that chooses a class; None if the class is not chosen by name."""
    if cls in names:
        return names[cls]
    if not is_settings(cls):
        return None
    found = next((name for table in TABLES if (name := table.name_of(cls))), None)
    chosen = any(table_of(base) for base in cls.__mro__)
    return found or (path_of(cls) if chosen else None)
