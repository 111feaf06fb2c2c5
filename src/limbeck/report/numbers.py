"""How numbers are written in a report: few digits, units, and a dash where there is nothing."""

from __future__ import annotations

import math

NOTHING = "–"
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(value: float, digits: int = 2) -> str:
    """A share as a percentage."""
    return f"{value:.{digits}%}"


def points(value: float, digits: int = 2) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.{digits}f}".replace("-", "−")


def count(value: float) -> str:
    """A number of things; the mean of several numbers keeps one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def short(value: float) -> str:
    """Three significant digits and a decimal prefix: 1.23 M; below 1,000 without one."""
    for size, prefix in _LARGE:
        if abs(value) >= 0.9995 * size:
            return f"{significant(value / size)} {prefix}"
    return f"{value:g}" if float(value).is_integer() else significant(value)


def size(value: float) -> str:
    """Bytes in decimal units: 1 kB = 1000 B."""
    return f"{short(value)}{'' if abs(value) >= 999.5 else ' '}B"


def significant(value: float, digits: int = 3) -> str:
    """So many significant digits, never with an exponent unless the value is tiny."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = f"{value:.{digits - 1}e}"
    magnitude = int(rounded.partition("e")[2])  # after rounding: 0.9999 is written as 1.00
    if magnitude < -4:
        return rounded
    decimals = max(0, digits - 1 - magnitude)
    return f"{value:,.{decimals}f}"


def ratio(value: float) -> str:
    """How many times: 12×, 1.4×."""
    return f"{significant(value, 2 if value < 100 else 3)}×"
