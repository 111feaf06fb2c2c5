from __future__ import annotations

import re
from pathlib import Path

import pytest

from limbeck.reproduce.experiment import Claim, Outcome, Scale
from limbeck.reproduce.page import render, verdict
from limbeck.reproduce.runner import Reproduced
from limbeck.sweep.finished import Done
from reproduce.made import wrong_on
from reproduce.small import SMALL, Small

pytest.importorskip("matplotlib", reason="pages need the report extra")
pytest.importorskip("jinja2", reason="pages need the report extra")

DONE = Done({label: wrong_on(range(60), range(70)) for label in ("distilled", "alone")})
ROWS = [{"label": "alone", "seed": 0, "folder": "alone-0123456789", "accuracy": 0.94, "errors": 60, "seconds": 90.0}]


def page(experiment: Small = SMALL, *, seeds: tuple[int, ...] = (0, 1), quick: bool = False) -> str:
    scale = Scale(seeds, quick)
    outcome = experiment.judge(DONE, scale)
    return render(Reproduced("small", experiment, scale, outcome, DONE, Path("runs")), ROWS)


def claims(*held: bool) -> Outcome:
    return Outcome((), tuple(Claim("c", one, "e") for one in held))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ([True], "The claim holds"),
        ([False], "The claim does not hold"),
        ([True, True, True], "All 3 claims hold"),
        ([False, False], "None of the 2 claims holds"),
        ([True, False], "1 of 2 claims holds"),
        ([True, True, False], "2 of 3 claims hold"),
    ],
)
def test_the_verdict_counts(held: list[bool], words: str) -> None:
    assert verdict(claims(*held)) == words


def test_figures_claims_notes_and_runs_are_there() -> None:
    text = re.sub(r"\s+", " ", page())
    for part in ("All 2 claims hold", "Nobody, Nowhere", ">67<", ">65 ± 7<", "This is small", "alone-0123456789"):
        assert part in text
    assert "means of 2 seeds" in text
    assert "1 run, 2 minutes of training" in text
    assert ">NO<" not in text
    assert ">NO<" in page(Small(most=0))


def test_texts_are_escaped_and_drawings_are_not() -> None:
    text = page()
    assert "A &lt;b&gt;small&lt;/b&gt; experiment." in text
    assert text.count("<svg") == 1
    assert 'aria-label="Errors by seed. A line &amp; nothing else."' in text


def test_the_quick_version_and_a_single_seed_say_so() -> None:
    assert "quick version" not in page()
    text = page(seeds=(0,), quick=True)
    assert "quick version" in text
    assert "without a spread" in text


def test_it_is_one_file_and_asks_the_network_for_nothing() -> None:
    text = page()
    assert not re.search(r"<(script|link(?! rel=\"icon\" href=\"data:)|img)", text)
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_equal_outcomes_give_equal_bytes() -> None:
    assert page() == page()
