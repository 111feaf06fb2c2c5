"""What a recipe left open (`taps: auto`) and a look at the networks decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from limbeck.core.distiller import Distiller
from limbeck.core.method import Method
from limbeck.methods.compose import Compose
from limbeck.recipe.plain import plain


def decided(distiller: Distiller, asked: Method) -> dict[str, Any]:
    """The method with nothing left open, as a recipe would say it; empty if the recipe left nothing open.

    Args:
        distiller: of the run.
        asked: the method as the recipe has it.
    """
    found: dict[str, Any] = plain(distiller.method, names={}) if distiller.method != asked else {}
    return found


def decided_notes(distiller: Distiller, asked: Method) -> list[str]:
    """The same for a person: one line for each method whose taps were found."""
    notes = []
    for method, before in _settled(distiller.method, asked):
        sides = "; ".join(f"{role} {', '.join(paths)}" for role, paths in method.tapped().items())
        chosen = f"from shallow to deep, {sides}" if sides else _changed(method, before)
        notes.append(f"auto chose for {type(method).__name__}, {chosen}")
    return notes


def _changed(found: Method, asked: Method) -> str:
    """Of a method that taps nothing: the keys that were left open."""
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return ", ".join(f"{name}: {value}" for name, value in values.items() if value != getattr(asked, name))


def _settled(found: Method, asked: Method) -> Iterator[tuple[Method, Method]]:
    """The methods that differ from what was asked for, each with that; members of a composed one among them."""
    if isinstance(found, Compose) and isinstance(asked, Compose):
        for one, other in zip(found.methods, asked.methods, strict=True):
            yield from _settled(one, other)
    elif found != asked:
        yield found, asked
