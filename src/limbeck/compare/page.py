"""The page of a comparison: one self-contained HTML file in the look of the run reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limbeck.compare.comparison import Comparison, Row
from limbeck.compare.pictures import panels
from limbeck.core.files import write_atomically
from limbeck.evaluate.noise import Interval
from limbeck.report import numbers
from limbeck.report.facts import headline
from limbeck.report.page import environment

MOST_PAIRS = 8
"""Students up to which every pair is listed."""


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    write_atomically(path, render(comparison).encode())


def render(comparison: Comparison) -> str:
    """The page's text."""
    students = comparison.students
    return (
        environment()
        .get_template("comparison.html")
        .render(
            title=comparison.title,
            headline=headline(comparison.verdict()),
            lines=[line(row) for row in comparison.rows],
            validated=any(row.contestant.validation is not None for row in comparison.rows),
            timed=any(row.latency is not None for row in comparison.rows),
            explained=[row for row in comparison.rows if row.findings],
            pairs=[_pair(*found) for found in comparison.differences] if 1 < len(students) <= MOST_PAIRS else [],
            chosen=comparison.chosen(),
            comparison=comparison,
            panels=panels(comparison),
            budget={label: f"{count:,}" for label, count in comparison.budget.items()},
            versions=comparison.versions,
        )
    )


def line(row: Row) -> dict[str, Any]:
    """A row as texts."""
    who, latency, parameters = row.contestant, row.latency, row.parameters
    return {
        "number": row.number,
        "label": row.label,
        "role": who.role,
        "accuracy": numbers.percent(who.accuracy),
        "std": "" if who.std is None else f"± {numbers.percent(who.std)}",
        "validation": numbers.NOTHING if who.validation is None else numbers.percent(who.validation),
        "gain": numbers.NOTHING if row.gain is None else numbers.points(row.gain.value),
        "ends": "" if row.gain is None else _ends(row.gain),
        "tone": "" if row.gain is None else _tone(row.gain),
        "parameters": numbers.NOTHING if parameters is None else numbers.short(parameters),
        "latency": numbers.NOTHING if latency is None else f"{numbers.significant(latency)} ms",
        "seconds": numbers.NOTHING if who.seconds is None else f"{who.seconds:,.0f} s",
        "seeds": len(who.accuracies),
    }


def _pair(one: Row, other: Row, found: Interval) -> dict[str, str]:
    return {
        "first": one.label,
        "second": other.label,
        "value": numbers.points(found.value),
        "ends": _ends(found),
        "tone": _tone(found),
    }


def _ends(found: Interval) -> str:
    return f"{numbers.points(found.low)} to {numbers.points(found.high)}"


def _tone(found: Interval) -> str:
    return "better" if found.better else "worse" if found.worse else ""
