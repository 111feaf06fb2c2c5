"""Section 6: soft targets as a regulariser. A part of the data, with hard labels and with a teacher's soft targets.

The paper's setting is speech: 3 % of the data, hard labels with early stopping, or soft targets of a model that was
trained on everything. Here it is MNIST, and the part runs from 1 to 30 %. A tenth of the part is held out for early
stopping, for every student alike; "early stopping" is the best network by it, the others are the last ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.evaluate.predictions import predict
from limbeck.recipe.folder import Which
from limbeck.report.drawing import BAD, GOOD, MUTED
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.setting import IMAGES, PAPER, alone, distilled, notes, teacher
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PART = 0.03
RECOVERED = 0.5
OVERFITS, STAYS = 1.25, 1.05
"""A final validation loss is overfitted from so many times its lowest value on, and is not up to so many."""
_BATCH = 1000

Way = Mapping[float, Errors]
"""Part of the data -> errors."""


@dataclass(frozen=True)
class Regulariser:
    """Parts of the data, with hard labels and soft targets."""

    title: str = "Soft targets let a net learn from a small part of the data without overfitting."
    paper: str = f"{PAPER}, section 6"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """A teacher and a student on everything; per part one student of either kind, for as many steps."""
        asked = [teacher(scale), alone("everything", scale, length="20 epochs" if scale.quick else "150 epochs")]
        train = {"evaluate": "50 steps"} if scale.quick else {"evaluate": "100 steps"}
        length = "2000 steps" if scale.quick else "9000 steps"
        for part in parts(scale):
            data = {"subset": round(part * IMAGES), "validation": 0.1}
            asked.append(alone(f"hard-{part:g}", scale, length=length, data=data, train=train))
            asked.append(distilled(f"soft-{part:g}", scale, length=length, data=data, train=train))
        return asked

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Errors by the part of the data."""
        everything = Errors.of(done.of("everything"))
        ways = {
            "hard labels": {part: Errors.of(done.of(f"hard-{part:g}")) for part in parts(scale)},
            "hard labels, early stopping": {
                part: Errors.of(done.of(f"hard-{part:g}"), "best") for part in parts(scale)
            },
            "soft targets": {part: Errors.of(done.of(f"soft-{part:g}")) for part in parts(scale)},
        }
        lines = (*_lines(ways, everything), *_accuracies(done))
        claims = (_recovers(ways, everything), _settles(done), _needs_none(done))
        pictures = (_by_part(ways, everything), _losses(done))
        note = "the paper's figures are frame accuracies of a speech model; only their pattern can be compared"
        return Outcome(lines, claims, pictures, (*notes(scale), note))


def parts(scale: Scale) -> tuple[float, ...]:
    """Of all training images."""
    return (PART, 0.1) if scale.quick else (0.01, PART, 0.1, 0.3)


def _lines(ways: Mapping[str, Way], everything: Errors) -> list[Line]:
    lines = [
        Line(f"{part:.0%} of the data, {name}: errors of {errors.images:,}", "–", str(errors))
        for part in next(iter(ways.values()))
        for name, way in ways.items()
        for errors in (way[part],)
    ]
    return [*lines, Line("100 % of the data, hard labels: errors", "–", str(everything))]


def _accuracies(done: Done) -> list[Line]:
    """The paper's table: accuracy on training and on test data."""
    hard, soft = done.of(f"hard-{PART:g}"), done.of(f"soft-{PART:g}")
    full = done.of("everything")
    rows: tuple[tuple[str, str, Sequence[Finished], Which], ...] = (
        ("100 %, hard labels", "63.4 %, 58.9 %", full, "last"),
        ("3 %, hard labels, early stopping", "67.3 %, 44.5 %", hard, "best"),
        ("3 %, soft targets", "65.4 %, 57.0 %", soft, "last"),
    )
    return [
        Line(
            f"{name}: training and test accuracy",
            paper,
            f"{_trained(runs, which):.1%}, {1 - Errors.of(runs, which).rate:.1%}",
        )
        for name, paper, runs, which in rows
    ]


def _trained(several: Sequence[Finished], which: Which) -> float:
    """Mean accuracy of the networks on the images that they were trained on."""
    found = []
    for one in several:
        seen = predict(one.network(which), evaluation_batches(one.data.train, batch=_BATCH))
        found.append(float((seen.logits.argmax(1) == seen.labels).double().mean()))
    return sum(found) / len(found)


def _recovers(ways: Mapping[str, Way], everything: Errors) -> Claim:
    hard, soft = ways["hard labels, early stopping"][PART], ways["soft targets"][PART]
    lost, fewer = everything.fewer_than(hard), soft.fewer_than(hard)
    share = fewer.value / lost.value if lost.value > 0 else 0.0
    return Claim(
        f"With {PART:.0%} of the data, soft targets win back most of what hard labels lose",
        fewer.clear and share >= RECOVERED,
        f"{PART:.0%} with hard labels and early stopping has {lost} errors more than everything; soft targets remove "
        f"{fewer} of them: {share:.0%} (paper, in frame accuracy: 87 %)",
    )


def _settles(done: Done) -> Claim:
    best, last = (Errors.of(done.of(f"soft-{PART:g}"), which) for which in ("best", "last"))
    gain = best.fewer_than(last)
    return Claim(
        "Soft targets need no early stopping",
        not gain.clear,
        f"stopping early would take away {gain} of {last} errors, which {'is' if gain.clear else 'is not'} more than "
        f"{CLEAR:g} times the noise",
    )


def _needs_none(done: Done) -> Claim:
    hard, soft = ([rise(one) for one in done.of(f"{way}-{PART:g}")] for way in ("hard", "soft"))
    return Claim(
        "Hard labels on a small part overfit, soft targets do not",
        min(hard) > OVERFITS and max(soft) < STAYS,
        "the validation loss (negative log-likelihood of the labels) ends at "
        f"{min(hard):.2f} to {max(hard):.2f} times its lowest value under hard labels, at {min(soft):.2f} to "
        f"{max(soft):.2f} times under soft targets; asked for: above {OVERFITS:g}, below {STAYS:g}",
    )


def rise(one: Finished) -> float:
    """The last validation loss, in units of the lowest."""
    values = [value for _, value in validation(one)]
    return values[-1] / min(values)


def validation(one: Finished) -> list[tuple[int, float]]:
    """Step and negative log-likelihood on the images held out."""
    return [(line["step"], line["validation"]["nll"]) for line in one.curves if "validation" in line]


def _by_part(ways: Mapping[str, Way], everything: Errors) -> Picture:
    looks = ((BAD, "^", "-"), (BAD, "v", (0, (2, 1.5))), (GOOD, "o", "-"))

    def draw(axes: Axes) -> None:
        for (name, way), (colour, marker, dash) in zip(ways.items(), looks, strict=True):
            places = [100 * part for part in way]
            values, noises = [e.mean for e in way.values()], [e.noise for e in way.values()]
            axes.errorbar(
                places, values, noises, color=colour, marker=marker, linestyle=dash, mew=0, capsize=2, label=name
            )
        axes.axhline(everything.mean, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.set(xscale="log", yscale="log", xlabel="% of the training images", ylabel="test errors")
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=9)

    caption = "Means with their noise over seeds and test images. Dashed: hard labels on all images."
    return Picture("parts", "Errors by the part of the data", caption, draw, width=420, height=300)


def _losses(done: Done) -> Picture:
    def draw(axes: Axes) -> None:
        for way, colour in (("hard", BAD), ("soft", GOOD)):
            for one in done.of(f"{way}-{PART:g}"):
                points = validation(one)
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.2, alpha=0.8)
            axes.annotate(way, points[-1], (-4, 6), textcoords="offset points", color=colour, ha="right")
        axes.set(yscale="log", xlabel="step", ylabel="validation loss")

    caption = f"Negative log-likelihood of the labels of held-out images, with {PART:.0%} of the data."
    return Picture("overfitting", "Overfitting", caption, draw)


EXPERIMENT = Regulariser()
