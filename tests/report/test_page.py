"""The page as text: complete, escaped, self-contained, reproducible."""

from __future__ import annotations

import dataclasses
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from limbeck.core.errors import MissingPackage
from limbeck.recipe.results import Results
from limbeck.report import write_report
from limbeck.report.page import render

VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """Headings, ids, what is loaded, and tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.targets: list[str] = []
        self.nameless: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.ids += [found["id"]] if found.get("id") else []
        links = [found.get(name) or "" for name in ("src", "href", "xlink:href", "action", "data") if name in found]
        (self.targets if tag in ("a", "use") else self.loaded).extend(links)
        if (tag == "img" and not found.get("alt")) or (found.get("role") == "img" and not found.get("aria-label")):
            self.nameless.append(str(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_everything_is_in_one_file(page: Path) -> None:
    text = page.read_text()
    outline = Outline(text)
    assert outline.open == []
    assert outline.loaded
    assert all(link.startswith("data:") for link in outline.loaded)
    assert "<script" not in text
    assert not re.search(r"url\((?!#)|@import", text)


def test_ids_are_unique_and_links_lead_somewhere(page: Path, many: Results) -> None:
    for text in (page.read_text(), render(many)):
        outline = Outline(text)
        assert len(outline.ids) == len(set(outline.ids))
        assert outline.targets
        assert {target.removeprefix("#") for target in outline.targets} <= set(outline.ids)
        assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(outline.ids)


def test_headings_are_in_order_and_drawings_have_names(page: Path) -> None:
    outline = Outline(page.read_text())
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert outline.nameless == []


def test_the_verdict_is_the_headline(page: Path, distilled: Results) -> None:
    text = page.read_text()
    headline = re.sub(r"<[^>]*>|\s+", " ", text[text.index("<h1") : text.index("</h1>")])
    judgement, _, sentence = distilled.verdict().partition(": ")
    assert judgement in headline
    assert sentence[1:] in headline


def test_equal_results_give_equal_bytes(distilled: Results, page: Path, tmp_path: Path) -> None:
    again = write_report(distilled, tmp_path / "again.html")
    assert again == tmp_path / "again.html"
    assert again.read_bytes() == page.read_bytes()


def test_own_matplotlib_settings_change_nothing(distilled: Results, page: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert render(distilled) == page.read_text()


def test_all_sections_are_there(page: Path) -> None:
    text = page.read_text()
    for section in ("results", "training", "cost", "calibration", "classes", "images", "exports", "made"):
        assert f'<section id="{section}"' in text
    assert "2 per multiply-accumulate" in text
    assert "by which nothing was chosen" in text
    assert "hard_weight: 0.1" in text
    assert "normalisation it was trained with" in text


def test_a_network_without_a_teacher(alone: Results) -> None:
    text = render(alone)
    assert "Validation accuracy" not in text
    assert "Label loss" in text
    assert 'id="cost"' not in text
    assert "Likeness to the teacher" not in text
    assert "Most confident mistakes" in text


def test_nothing_but_what_is_known(distilled: Results) -> None:
    bare = dataclasses.replace(
        distilled,
        exports=(),
        notes=(),
        versions={},
        entries=[
            dataclasses.replace(entry, curves=(), cost={**entry.cost, "latency": []}, per_class={})
            for entry in distilled.entries
            if entry.role != "alone"
        ],
    )
    text = render(bare)
    assert 'id="training"' not in text
    assert 'id="exports"' not in text
    assert "Accuracy against latency" not in text
    assert "Accuracy against parameters" in text
    assert "Latency" not in text


def test_the_validation_split_is_admitted(distilled: Results) -> None:
    dataset = dataclasses.replace(distilled.dataset, validation=distilled.dataset.test, test=None)
    text = render(dataclasses.replace(distilled, dataset=dataset))
    assert "There is no test split" in text
    assert "test accuracy" not in text


def test_texts_from_outside_are_escaped(many: Results) -> None:
    text = render(dataclasses.replace(many, title="<script>alert(1)</script>", notes=["<b>$x_1$</b>"]))
    assert "<script>" not in text
    assert "<b>$x_1$" not in text
    assert "pattern &lt;" in text
    assert "pattern <" not in text


def test_a_missing_package_is_named(distilled: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingPackage, match=r"Jinja2 is not installed.*limbeck\[report\]"):
        write_report(distilled, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
