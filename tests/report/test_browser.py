"""The page in a browser: nothing is asked of the network, nothing overflows, both colour schemes are legible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limbeck.recipe.results import Results
from limbeck.report import write_report

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OVERFLOWING = """() => [...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    const inside = element.closest('.scroll, pre, .hidden');
    return box.right > document.documentElement.clientWidth + 0.5 && box.width > 1 && !inside;
}).map(element => element.outerHTML.slice(0, 120))"""
TEXTS = "h1, p, th, td, dt, dd, figcaption, .chart text, .spread, .hint"
COLOURS = """texts => [...document.querySelectorAll(texts)].map(element => {
    const style = getComputedStyle(element);
    return [element.namespaceURI.endsWith('svg') ? style.fill : style.color, element.outerHTML.slice(0, 120)];
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on the path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(page: Path, alone: Results, many: Results, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pages")
    return [page, write_report(alone, folder / "alone.html"), write_report(many, folder / "many.html")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_stands(browser: Any, pages: list[Path], width: int, scheme: str) -> None:
    for path in pages:
        view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said, asked = [], []
        view.on("console", lambda message, said=said: said.append(message.text))
        view.on("pageerror", lambda error, said=said: said.append(str(error)))
        view.on("request", lambda request, asked=asked: asked.append(request.url))
        view.goto(path.as_uri())
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert view.evaluate("document.documentElement.scrollWidth") == width
        assert view.evaluate(OVERFLOWING) == []
        images = view.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert images
        assert all(images)
        _assert_legible(view, dark=scheme == "dark")
        view.close()


def _assert_legible(view: Any, *, dark: bool) -> None:
    paper = _luminance(view.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert paper < 0.05 if dark else paper > 0.8
    texts = view.evaluate(COLOURS, TEXTS)
    assert len(texts) > 50
    for colour, element in texts:
        low, high = sorted([paper, _luminance(colour)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (colour, element)


def _luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)", after WCAG 2."""
    channels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
