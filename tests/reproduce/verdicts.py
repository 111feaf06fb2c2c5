"""What the verdicts' tests share."""

from __future__ import annotations

import pytest

from limbeck.reproduce.experiment import Outcome, Scale

FULL, QUICK = Scale((0, 1), quick=False), Scale((0, 1), quick=True)


def held(outcome: Outcome) -> list[bool]:
    return [claim.held for claim in outcome.claims]


def drawn(outcome: Outcome) -> None:
    """Every picture can be drawn."""
    pytest.importorskip("matplotlib", reason="pictures need the report extra")
    from limbeck.report.drawing import chart

    for picture in outcome.pictures:
        size = {"width": picture.width, "height": picture.height}
        assert "<path" in chart(picture.draw, name=picture.name, label=picture.title, **size)
