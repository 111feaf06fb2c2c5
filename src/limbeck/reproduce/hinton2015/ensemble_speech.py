"""Section 4 in small: ten acoustic networks that differ in their first weights, and one network distilled from them.

The paper's networks tell 14,000 states of a speech recogniser apart, in 700 million frames; here they tell ten digits
apart, in a hundred thousand. Nobody has said which sound of a digit is where: a frame's label is the digit of its
recording. Two of the six speakers are heard in the test only.

Every seed of the scale has ten networks of its own, and a student of theirs. Students, and networks alone, are trained
equally long on the same frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from limbeck.evaluate.noise import CLEAR
from limbeck.evaluate.predictions import Predictions
from limbeck.evaluate.speech import words
from limbeck.report.drawing import BAD, GOOD, LOOKS
from limbeck.reproduce.ensembles import mean_of
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.ensemble_mnist import KEPT, MEANS, count
from limbeck.reproduce.hinton2015.frames import Gain, Right
from limbeck.reproduce.hinton2015.setting import PAPER
from limbeck.reproduce.hinton2015.taught import beyond
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES = {"single": "58.9 %", "arithmetic": "61.1 %", "geometric": "–", "distilled": "60.8 %"}
"""The paper's share of right frames; its ensemble is the mean of the predictions."""

WORDS = {"single": "10.9 %", "arithmetic": "10.7 %", "geometric": "–", "distilled": "10.7 %"}
"""The paper's share of wrong words."""

PAPERS_SHARE = (60.8 - 58.9) / (61.1 - 58.9)
_TEACHER = LOOKS["teacher"].colour
_COLOURS = {"single": BAD, "arithmetic": _TEACHER, "geometric": _TEACHER, "distilled": GOOD}
_NOTES = (
    "a frame's label is the digit of its recording, for want of an alignment: a sound that several digits share cannot "
    "be named by itself",
    "each speaker's recordings are normalised by their own mean and deviation, without labels; test speakers' too",
    "four layers of 64 units, where the paper has eight of 2,560; T = 2 and a weight of 0.5 on the labels are the "
    "paper's and were not searched for",
    "the paper's word errors are those of whole sentences under a language model; here a word is a recording, and of "
    "so few no claim is made",
)


@dataclass(frozen=True)
class EnsembleSpeech:
    """Networks, ensembles of them, and networks distilled from the ensembles.

    Args:
        title: what is shown.
        paper: where it comes from.
        members: networks of an ensemble; a quick one has at most four.
        overrides: dotted key -> value, on top of every recipe.
    """

    title: str = "One acoustic network, taught by ten, keeps most of what the ten gain over one of them."
    paper: str = f"{PAPER}, section 4"
    members: int = 10
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """For each seed the networks of an ensemble, and the student that learns from them."""
        keys = dict(self.overrides)
        ensembles = {own: self._seeds(own, scale) for own in scale.seeds}
        singles = tuple(seed for seeds in ensembles.values() for seed in seeds)
        asked = [Asked("speech-single", "spoken_digits/teacher", keys, singles)]
        for own, seeds in ensembles.items():
            members = [{"from": {"recipe": "spoken_digits/teacher", "seed": seed, "set": keys}} for seed in seeds]
            recipe = {
                "name": "hinton2015-speech",
                "extends": "spoken_digits/kd",
                "models": {"teacher": {"ensemble": members}},
                "baseline": False,
                "report": False,
            }
            asked.append(Asked(_taught(own), recipe, keys, (self._first(own) + self.members,)))
        return asked

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """The share of right frames, and of wrong words."""
        utterances = done.of("speech-single")[0].run.recipe.data.utterances()
        said = self._said(done, scale)
        frames = {key: Right.of(several, utterances) for key, several in said.items()}
        spoken = {key: Right.of([words(one, utterances) for one in several]) for key, several in said.items()}
        members = len(self._seeds(scale.seeds[0], scale))
        names = _names(members)
        ensemble, distilled = (frames[key].gain_over(frames["single"]) for key in ("arithmetic", "distilled"))
        kept = Line(
            "share of the ensemble's gain in frames that is kept",
            f"{PAPERS_SHARE:.0%}",
            f"{distilled.kept_of(ensemble):z.0%}",
        )
        quick = (f"quick: ensembles of {members} networks instead of {self.members}",) if scale.quick else ()
        return Outcome(
            (
                *(Line(f"{name}: frames right", FRAMES[key], str(frames[key])) for key, name in names.items()),
                *(Line(f"{name}: words wrong", WORDS[key], spoken[key].wrong) for key, name in names.items()),
                kept,
                *beyond(self._taught_by(done, scale)),
            ),
            _claims(ensemble, distilled),
            (
                _dots("frames", "Frames of two unknown speakers", "frames right, %", frames),
                _dots("words", "Words of two unknown speakers", "words right, %", spoken),
            ),
            (*_NOTES, *quick),
        )

    def _first(self, own: int) -> int:
        """The seed of an ensemble's first network: no two networks of the experiment share their first weights."""
        return own * (self.members + 1)

    def _seeds(self, own: int, scale: Scale) -> range:
        return range(self._first(own), self._first(own) + min(count(scale), self.members))

    def _taught_by(self, done: Done, scale: Scale) -> list[tuple[list[Finished], Finished]]:
        singles = {one.run.seed: one for one in done.of("speech-single")}
        return [([singles[seed] for seed in self._seeds(own, scale)], done.of(_taught(own))[0]) for own in scale.seeds]

    def _said(self, done: Done, scale: Scale) -> dict[str, list[Predictions]]:
        taught_by = self._taught_by(done, scale)
        ensembles = [[one.predictions() for one in members] for members, _ in taught_by]
        return {
            "single": [one for members in ensembles for one in members],
            **{mean: [mean_of(members, mean) for members in ensembles] for mean in MEANS},
            "distilled": [student.predictions() for _, student in taught_by],
        }


def _names(members: int) -> dict[str, str]:
    return {
        "single": "one network",
        "arithmetic": f"{members} networks, arithmetic mean",
        "geometric": f"{members} networks, geometric mean",
        "distilled": f"one network distilled from {members}",
    }


def _taught(own: int) -> str:
    return f"speech-distilled-{own}"


def _claims(ensemble: Gain, distilled: Gain) -> tuple[Claim, ...]:
    kept = distilled.kept_of(ensemble)
    return (
        Claim(
            "The ensemble names more frames than its members",
            ensemble.clear,
            f"{ensemble} more, against {CLEAR:g} times the noise over networks and recordings",
        ),
        Claim(
            "One network distilled from it keeps most of the gain",
            distilled.clear and kept >= KEPT,
            f"{distilled} more than a member, of {ensemble}: {kept:z.0%}",
        ),
    )


def _dots(name: str, title: str, unit: str, shares: Mapping[str, Right]) -> Picture:
    def draw(axes: Axes) -> None:
        for place, (key, found) in enumerate(shares.items()):
            points = [100 * share for share in found.shares]
            axes.plot([place] * len(points), points, ".", color=_COLOURS[key], markersize=6, alpha=0.6)
            axes.plot([place - 0.25, place + 0.25], [100 * found.mean] * 2, color=_COLOURS[key])
        axes.set_xticks(range(len(shares)), list(shares))
        axes.set(ylabel=unit)

    return Picture(name, title, "Dots: networks, or ensembles of them. Lines: their means.", draw)
