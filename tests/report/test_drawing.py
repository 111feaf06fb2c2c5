"""Drawings follow the page and do not get in each other's way."""

from __future__ import annotations

import re

import pytest

from limbeck.report.drawing import INK, LOOKS, chart

pytest.importorskip("matplotlib", reason="drawings need the report extra")


def drawn(name: str, text: str = "text") -> str:
    def draw(axes):
        axes.plot([0, 1], [0, 1], color=LOOKS["distilled"].colour, label=text)
        axes.text(0.5, 0.5, text, color=INK)

    return chart(draw, name=name, label=f"a {text}")


def test_colours_and_fonts_are_the_page_s() -> None:
    svg = drawn("one")
    assert "var(--distilled)" in svg
    assert "var(--ink)" in svg
    assert "#0a0b" not in svg
    assert "font-family" not in svg
    assert "<style" not in svg
    assert "#ffffff" not in svg


def test_equal_drawings_are_equal_and_ids_are_their_own() -> None:
    assert drawn("one") == drawn("one")
    one, two = (set(re.findall(r'id="([^"]*)"', drawn(name))) for name in ("one", "two"))
    assert one
    assert not one & two


def test_texts_are_escaped_and_not_typeset() -> None:
    svg = drawn("one", '<a> & "$x_1$"')
    assert "&lt;a&gt; &amp;" in svg
    assert "$x_1$" in svg
    assert "<a>" not in svg


@pytest.mark.parametrize("values", [[1e-4, 1e3], [20, 60]], ids=["many powers", "none"])
def test_logarithmic_axes_are_labelled_in_plain_numbers(values: list[float]) -> None:
    def draw(axes):
        axes.plot(values, values)
        axes.set(xscale="log", yscale="log")

    svg = chart(draw, name="log", label="log")
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    assert labels
    assert all(1e-5 <= float(label) <= 1e5 for label in labels)
