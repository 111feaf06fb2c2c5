"""Sections of two networks that belong together, each from its first to its last layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from limbeck.core.errors import MethodError
from limbeck.core.outline import Outline, Unit
from limbeck.core.pairs import matched, outlines
from limbeck.core.settings import settings


@settings
class Section:
    """The first and the last layer of a section, in either network.

    Args:
        student: two tap paths.
        teacher: two tap paths.
    """

    student: tuple[str, str]
    teacher: tuple[str, str]

    def of(self, role: str) -> tuple[str, str]:
        """Of the student or of the teacher."""
        return self.student if role == "student" else self.teacher


def proposed_sections(models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> tuple[Section, ...]:
    """Equal stages of the networks in the roles `student` and `teacher`, from shallow to deep.

    Args:
        models: role -> network.
        run: runs a network on the example.

    Raises:
        MethodError: a network has no features, or a stage has one layer only.
    """
    found = outlines(models, run)
    return sections_of(found["student"], found["teacher"])


def sections_of(student: Outline, teacher: Outline) -> tuple[Section, ...]:
    """Equal stages of two networks, from shallow to deep; raises MethodError where a stage has one layer only."""
    return tuple(
        Section(student=_ends(student, own, "student"), teacher=_ends(teacher, other, "teacher"))
        for own, other in matched(student, teacher)
    )


def _ends(found: Outline, last: Unit, role: str) -> tuple[str, str]:
    first = found.first_layer(last)
    if first is None:
        raise MethodError(
            f"taps: auto finds a single layer in the stage of the {role} that ends at {last.path!r}, and a flow needs "
            "two; name the taps"
        )
    return first.path, last.path
