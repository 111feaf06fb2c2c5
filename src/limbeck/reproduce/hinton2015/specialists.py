"""Section 5: a generalist, specialists for the classes that it confuses, and one network that learned from all of them.

The paper's set has 100 million images of 15,000 classes, and a class is in one of 61 subsets of 300, in several, or in
none. Here subsets are clusters that divide the classes, and there are several rounds of clustering: after r rounds
every class is known to r specialists, so that the gain by their number is one on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from limbeck.adapters.specialists import combined
from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.evaluate.predictions import Predictions
from limbeck.report.drawing import BAD, GOOD, INK, LOOKS, MUTED
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.setting import PAPER
from limbeck.reproduce.hinton2015.specialists_setting import CLUSTERS, FULL, QUICK, asked, label, size_of
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOPS = (1, 2, 3)
"""How many of the generalist's most probable classes decide who is asked; the paper asks with one."""
PAPERS_GAIN = 0.044
WHICH = "best"
"""Specialists, and what is distilled, start from networks that were chosen by held-out training images."""


@dataclass(frozen=True)
class SpecialistsExperiment:
    """Generalist, specialists, what they answer together, and students of them."""

    title: str = "Specialists for confusable classes correct a generalist, the more of them know a class."
    paper: str = f"{PAPER}, section 5"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One generalist with its specialists; the students of all, and of the generalist alone, once per seed."""
        return asked(size_of(scale))

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Errors of the generalist, of all together by rounds, and of the students."""
        size = size_of(scale)
        found = Found.of(done, rounds=size.rounds)
        note = (
            "the paper trains on 100 million images of 15,000 classes; here ResNet-8 on 100 classes of Tiny ImageNet, "
            "tested on its validation split, which nothing was chosen by"
        )
        quick = f"quick: {QUICK.images:,} of the {FULL.images:,} training images, at {QUICK.side} pixels a side"
        return Outcome(
            _lines(found),
            (_helps(found), _grows(found), _beyond_training(found), _distils(found)),
            (_by_rounds(found), _networks(found)),
            (note, quick) if scale.quick else (note,),
        )


@dataclass(frozen=True)
class Found:
    """The errors of all.

    Args:
        generalist: alone.
        together: n -> after each round of clustering.
        longer: the generalist after a specialist's length of further training.
        one: students of all.
        copy: students of the generalist alone.
    """

    generalist: Errors
    together: Mapping[int, Sequence[Errors]]
    longer: Errors
    one: Errors
    copy: Errors

    @staticmethod
    def of(done: Done, *, rounds: int) -> Found:
        """From finished runs; nothing is asked again, what each said about the test images is enough."""
        (generalist,) = done.of("generalist")
        members = [done.of(label(number, cluster))[0] for number in range(rounds) for cluster in range(CLUSTERS)]
        counts = [CLUSTERS * (number + 1) for number in range(rounds)]
        together = {
            top: [Errors.in_predictions([answered(generalist, members[:count], top=top)]) for count in counts]
            for top in TOPS
        }
        return Found(
            generalist=Errors.of([generalist], WHICH),
            together=together,
            longer=Errors.of(done.of("longer"), WHICH),
            one=Errors.of(done.of("one"), WHICH),
            copy=Errors.of(done.of("copy"), WHICH),
        )

    @property
    def all(self) -> Errors:
        """All together, as the paper asks them."""
        return self.together[1][-1]


def answered(generalist: Finished, specialists: Sequence[Finished], *, top: int) -> Predictions:
    """What a generalist and specialists say together about the test images."""
    general, *said = (_in_order(one.predictions(WHICH)) for one in (generalist, *specialists))
    numbers = {name: number for number, name in enumerate(_classes(generalist))}
    subsets = [[numbers[name] for name in _classes(one)[:-1]] for one in specialists]
    logits = combined(general.logits, lambda member, rows: said[member].logits[rows], subsets=subsets, top=top)
    return Predictions(logits=logits, labels=general.labels, ids=general.ids)


def _classes(one: Finished) -> list[str]:
    """Of a run's network, in the order of its outputs."""
    return list(one.folder.read("network.json", keys=("classes",))["classes"])


def _in_order(said: Predictions) -> Predictions:
    return said.take(said.ids.argsort(stable=True))


def _relative(found: Found, errors: Errors) -> float:
    """The gain in accuracy, as a share of the generalist's accuracy."""
    return (found.generalist.mean - errors.mean) / (errors.images - found.generalist.mean)


def _lines(found: Found) -> tuple[Line, ...]:
    rounds = len(found.together[1])
    gain = f"relative gain in accuracy, {rounds} specialists for each class"
    return (
        Line(f"generalist: errors of {found.generalist.images:,}", "–", str(found.generalist)),
        *(
            Line(f"with {number} specialist{'s' if number > 1 else ''} for each class: errors", "–", str(errors))
            for number, errors in enumerate(found.together[1], start=1)
        ),
        *(
            Line(f"{gain}, n = {n}", f"{PAPERS_GAIN:.1%}" if n == 1 else "–", f"{_relative(found, errors[-1]):.1%}")
            for n, errors in found.together.items()
        ),
        Line("generalist trained on for as long as a specialist: errors", "–", str(found.longer)),
        Line("one network distilled from all: errors", "–", str(found.one)),
        Line("one network distilled from the generalist alone: errors", "–", str(found.copy)),
    )


def _helps(found: Found) -> Claim:
    fewer = found.all.fewer_than(found.generalist)
    return Claim(
        "The generalist with its specialists makes fewer errors than alone",
        fewer.clear,
        f"{fewer} fewer of {found.generalist.mean:.0f}, against {CLEAR:g} times the noise over test images",
    )


def _grows(found: Found) -> Claim:
    steps = [errors.mean for errors in (found.generalist, *found.together[1])]
    added = found.all.fewer_than(found.together[1][0])
    counts = ", ".join(f"{count:.0f}" for count in steps)
    return Claim(
        "The gain grows with the number of specialists that know a class",
        added.clear and all(after < before for before, after in pairwise(steps)),
        f"errors with 0, 1, … specialists for each class: {counts}; all remove {added} more than the first ones",
    )


def _beyond_training(found: Found) -> Claim:
    fewer, trained = found.all.fewer_than(found.longer), found.longer.fewer_than(found.generalist)
    return Claim(
        "They gain more than the generalist does by as much further training",
        fewer.clear,
        f"{fewer} errors fewer than the generalist that was trained on, which itself removes {trained}",
    )


def _distils(found: Found) -> Claim:
    fewer, copied = found.one.fewer_than(found.generalist), found.one.fewer_than(found.copy)
    return Claim(
        "One network distilled from all of them makes fewer errors than the generalist, whose size it has",
        fewer.clear,
        f"{fewer} fewer; against a network distilled from the generalist alone {copied} fewer, "
        f"which is {'clear' if copied.clear else 'not clear'}",
    )


def _by_rounds(found: Found) -> Picture:
    def draw(axes: Axes) -> None:
        looks = zip(found.together.items(), ((GOOD, "o"), (INK, "s"), (BAD, "^")), strict=True)
        for (top, several), (colour, marker) in looks:
            gains = [errors.fewer_than(found.generalist) for errors in several]
            values, noises = [0.0, *(gain.value for gain in gains)], [0.0, *(gain.noise for gain in gains)]
            axes.errorbar(
                range(len(values)), values, noises, color=colour, marker=marker, mew=0, capsize=2, label=f"n = {top}"
            )
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.set_xticks(range(len(found.together[1]) + 1))
        axes.set(xlabel="specialists that know a class", ylabel="errors removed")
        axes.legend(frameon=False)

    caption = "Errors fewer than the generalist's, with their noise over test images; n classes decide who is asked."
    return Picture("rounds", "Gain by the number of specialists", caption, draw)


def _networks(found: Found) -> Picture:
    rows = (
        ("generalist", found.generalist, LOOKS["alone"]),
        ("trained on", found.longer, LOOKS["alone"]),
        ("all", found.all, LOOKS["teacher"]),
        ("one of all", found.one, LOOKS["distilled"]),
        ("one of it", found.copy, LOOKS["distilled"]),
    )

    def draw(axes: Axes) -> None:
        for place, (_, errors, look) in enumerate(rows):
            axes.plot([place] * len(errors.counts), errors.counts, look.marker, color=look.colour, mew=0, alpha=0.5)
            axes.errorbar(place, errors.mean, errors.noise, color=look.colour, marker="_", markersize=22, capsize=4)
        axes.set_xticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set(ylabel="test errors", xlim=(-0.5, len(rows) - 0.5))

    caption = (
        "The generalist; the same after further training; with all specialists; one network distilled from all, and "
        "one from the generalist alone. The noise over test images is mostly shared."
    )
    return Picture("networks", "Errors", caption, draw, width=420)


EXPERIMENT = SpecialistsExperiment()
