"""Put the figures of finished experiments into docs/reproductions.md, from the outcomes in docs/reproductions/.

`limbeck reproduce` leaves an `outcome.json`; a copy of it named after the experiment belongs to this folder. A test
compares the page with this script.

    cp runs/reproductions/hinton2015-mnist-3seeds/outcome.json docs/reproductions/hinton2015-mnist.json
    python docs/make_reproductions.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reproductions.md"
OUTCOMES = Path(__file__).parent / "reproductions"
BEGIN, END = "<!-- figures: made by make_reproductions.py -->", "<!-- end of figures -->"


def page() -> str:
    """The whole page with the figures as they are now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    outcomes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(OUTCOMES.glob("*.json"))]
    sections = [line for outcome in outcomes for line in _section(outcome)]
    return before + "\n".join([BEGIN, "", *sections, END]) + after


def _section(outcome: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {outcome['name']}: {outcome['verdict']}", "")
    yield from (f"{outcome['title']} {_made(outcome)}", "")
    yield from ("| | paper | here |", "|---|---|---|")
    for line in outcome["lines"]:
        yield f"| {line['what']} | {line['paper']} | {line['ours']} |"
    yield ""
    for claim in outcome["claims"]:
        yield f"- **{'yes' if claim['held'] else 'NO'}** {claim['text']}: {claim['evidence']}."
    yield ""


def _made(outcome: dict[str, Any]) -> str:
    """By how much work, and on what."""
    versions, runs = outcome["versions"], outcome["runs"]
    seeds = f"{len(outcome['seeds'])} seeds; " if runs else ""
    minutes = sum(run["seconds"] for run in runs) / 60
    trained = f"{len(runs)} trainings, {minutes:.0f} minutes one after the other; " if runs else ""
    return f"({seeds}{trained}torch {versions['torch']}, {versions['device']}.)"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
