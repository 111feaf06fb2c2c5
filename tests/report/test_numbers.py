"""Few digits, units, no exponents where a person reads."""

from __future__ import annotations

import pytest

from limbeck.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.0, "1.00"), (12.345, "12.3"), (999.7, "1,000"), (1.5e-7, "1.50e-07")],
)
def test_significant(value: float, text: str) -> None:
    assert numbers.significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7 B"), (512, "512 B"), (38_760, "38.8 kB"), (999_999, "1.00 MB"), (3.2e9, "3.20 GB")]
)
def test_size(value: float, text: str) -> None:
    assert numbers.size(value) == text


def test_small_ones() -> None:
    assert numbers.percent(0.98765) == "98.77%"
    assert numbers.points(-0.0123) == "−1.23"
    assert numbers.points(0.5) == "+50.00"
    assert (numbers.count(22.0), numbers.count(29.333), numbers.count(6027)) == ("22", "29.3", "6,027")
    assert (numbers.ratio(15.7), numbers.ratio(1.25), numbers.ratio(412.3)) == ("16×", "1.2×", "412×")
