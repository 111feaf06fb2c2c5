"""What a recipe left open (`taps: auto`) and a look at the networks decided."""

from __future__ import annotations

from collections.abc import Iterator
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
    for method in _settled(distiller.method, asked):
        sides = "; ".join(f"{role} {', '.join(paths)}" for role, paths in method.tapped().items())
        notes.append(f"auto chose for {type(method).__name__}, from shallow to deep, {sides}")
    return notes


def _settled(found: Method, asked: Method) -> Iterator[Method]:
    """The methods, members of a composed one among them, that differ from what was asked for."""
    if isinstance(found, Compose) and isinstance(asked, Compose):
        for one, other in zip(found.methods, asked.methods, strict=True):
            yield from _settled(one, other)
    elif found != asked:
        yield found
