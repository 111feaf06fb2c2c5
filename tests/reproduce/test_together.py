from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.reproduce.experiment import Claim, Experiment, Line, Outcome, Picture, Scale
from limbeck.reproduce.together import Together
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

SCALE = Scale((0,), quick=True)


@dataclass(frozen=True)
class Part:
    label: str
    held: bool
    title: str = "a part"
    paper: str = "somebody"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        return (Asked(self.label, "digits/kd"),)

    def judge(self, done: Done, scale: Scale) -> Outcome:
        picture = Picture("same", "same", "", lambda axes: None)
        claims = (Claim(self.label, self.held, "seen"),)
        return Outcome((Line("errors", "1", "2"),), claims, (picture,), ("one note",))


WHOLE = Together("whole", "somebody", {"A": Part("a", True), "B": Part("b", False)})


def test_parts_are_done_and_judged_one_by_one() -> None:
    assert isinstance(WHOLE, Experiment)
    assert [asked.label for asked in WHOLE.runs(SCALE)] == ["a", "b"]
    outcome = WHOLE.judge(Done({}), SCALE)
    assert [line.what for line in outcome.lines] == ["A: errors", "B: errors"]
    assert [(claim.text, claim.held) for claim in outcome.claims] == [("A: a", True), ("B: b", False)]
    assert outcome.notes == ("A: one note", "B: one note")


def test_pictures_of_two_parts_have_names_of_their_own() -> None:
    assert [picture.name for picture in WHOLE.judge(Done({}), SCALE).pictures] == ["A-same", "B-same"]
