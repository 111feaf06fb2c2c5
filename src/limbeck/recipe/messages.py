"""From pydantic's errors to one message per place: what was expected, what came, what is close."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import ErrorDetails

from limbeck.core.errors import close
from limbeck.recipe.yaml import KeyPath, Node


def messages(errors: Iterable[ErrorDetails], node: Node) -> Iterator[tuple[KeyPath, str]]:
    """The key paths below `node` that are wrong, each with its message.

    pydantic reports each member of a union, with the member's name inside the location; those become one message:
    "expected a or b".

    Args:
        errors: from a `ValidationError` about `node`'s value.
        node: the value.
    """
    expected: dict[KeyPath, list[str]] = {}
    for error in errors:
        if error["type"] == "missing":
            yield node.nearest(_keys(error["loc"], node))[1], f"the key {error['loc'][-1]!r} is missing"
        elif error["type"] in ("value_error", "assertion_error"):
            text = str(error.get("ctx", {}).get("error", "")) or error["msg"]
            yield node.nearest(_keys(error["loc"], node))[1], text
        else:
            _, path = node.nearest(_keys(error["loc"], node))
            expected.setdefault(path, []).append(_expected(error))
    for path, texts in expected.items():
        came = node.nearest(path)[0].plain
        alternatives = " or ".join(dict.fromkeys(texts))
        yield path, f"expected {alternatives}, came {shown(came)}{_hint(alternatives, came)}"


def shown(value: Any, *, most: int = 60) -> str:
    """A value as a recipe's user would write it, in one line and not too long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else text[: most - 1] + "…"


def _keys(location: tuple[int | str, ...], node: Node) -> KeyPath:
    """A location without the names of union members, which are no keys."""
    keys: list[str | int] = []
    for part in location:
        below = node.child(part)
        if below is not None:
            keys.append(part)
            node = below
    return tuple(keys)


_PHRASES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
    "unexpected_keyword_argument": "no such key",
    "extra_forbidden": "no such key",
}


def _expected(error: ErrorDetails) -> str:
    """What pydantic wanted, as the object of "expected"."""
    if error["type"] in ("too_short", "too_long"):
        limit = error["ctx"].get("min_length", error["ctx"].get("max_length"))
        return f"at {'least' if error['type'] == 'too_short' else 'most'} {limit} item(s)"
    if error["type"] in _PHRASES:
        return _PHRASES[error["type"]]
    text = re.sub(r"^Input should be ", "", error["msg"])
    if re.match(r"(greater|less) than|a multiple", text):
        return f"a number {text}" if not text.startswith("a ") else text
    return text[:1].lower() + text[1:]


def _hint(expected: str, came: Any) -> str:
    """The nearest of the quoted alternatives, if text came and one is near."""
    near = close(came, re.findall(r"'([^']+)'", expected)) if isinstance(came, str) else ""
    return f"; {near}" if near.startswith("close") else ""
