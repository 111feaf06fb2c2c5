"""What a recipe left open (`taps: auto`) and a look at the networks decided."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from limbeck.core.distiller import Distiller
from limbeck.core.method import Method


def decided(distiller: Distiller, asked: Method) -> dict[str, Any]:
    """The method's hyper-parameters with nothing left open, as plain data; empty if the recipe left nothing open.

    Args:
        distiller: of the run.
        asked: the method as the recipe has it.
    """
    return asdict(distiller.method) if distiller.method != asked else {}


def decided_notes(distiller: Distiller, asked: Method) -> list[str]:
    """The same for a person."""
    if distiller.method == asked:
        return []
    sides = [f"{role} {', '.join(paths)}" for role, paths in distiller.method.tapped().items()]
    return [f"taps: auto took, from shallow to deep, {'; '.join(sides)}"]
