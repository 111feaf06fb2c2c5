"""Deep mutual learning: two to four networks, alike and unlike, beside independent ones and a trained teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any, cast

from limbeck.adapters.ensemble import Ensemble
from limbeck.evaluate.noise import CLEAR, Difference, Errors
from limbeck.evaluate.predictions import Predictions
from limbeck.report.drawing import BAD, GOOD, INK
from limbeck.reproduce.claims import better, no_worse, shown
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.without_teacher.setting import (
    BIG,
    SMALL,
    alone,
    answers,
    entropy,
    every,
    independent,
    notes,
    recipe,
    together,
)
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTS = (2, 3, 4)
MIXED = "big-and-small"
KINDS = {"small": "independent", "mutual-3": "mutual, 3", "mutual-mean": "mutual with the mean, 3"}
"""Networks whose entropy is compared."""
_NOTES = (
    "groups are updated all at once, but for one whose networks are updated one after the other, as in the paper's "
    "algorithm",
    "a trained teacher teaches through soft targets (T = 4, labels with a weight of 0.1); peers have the labels with a "
    "weight of 1, T = 1, and what is tested is what they end with",
    "the spread of peers is that of the means of their groups, which is smaller than that of single networks",
    "the paper's figures are as remembered from its table, and of other networks",
)


@dataclass(frozen=True)
class Dml2018:
    """Small networks among themselves, a small one with a big one, and what each is compared with."""

    title: str = "Networks that learn from each other become better than networks that learn alone."
    paper: str = "Zhang, Xiang, Hospedales, Lu, Deep Mutual Learning, CVPR 2018, arXiv:1706.00384"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Every group of networks once per seed."""
        small = {"student": SMALL}
        groups: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]
        groups = {f"mutual-{count}": (small, {"peers": count}) for count in COUNTS}
        groups |= {
            "mutual-mean": (small, {"peers": 3, "target": "mean"}),
            "mutual-turns": (small, {"updates": "sequential"}),
            MIXED: ({"student": BIG, "peer1": SMALL}, {}),
        }
        taught = {"student": SMALL, "teacher": {"from": {"recipe": "big.yaml", "seed": "inherit"}}}
        kd = {"name": "kd", "temperature": 4.0, "hard_weight": 0.1}
        return [
            *alone("small", scale, SMALL, members=COUNTS[0]),
            *alone("big", scale, BIG),
            *(Asked(label, recipe(label, scale, models, _dml(own))) for label, (models, own) in groups.items()),
            Asked("taught", recipe("taught", scale, taught, kd)),
        ]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies of the single networks and of groups, and the entropy of their answers."""
        labels = [*(f"mutual-{count}" for count in COUNTS), "mutual-mean", "mutual-turns", MIXED]
        return Found(
            single={
                "small": every(done, "small", COUNTS[0]),
                **{label: Errors.of(done.of(label)) for label in ("big", "taught")},
            },
            groups={label: Group.of(done.of(label)) for label in labels},
            pair=independent(done, "small", 2),
            entropies={label: _entropies(done.of(label)) for label in KINDS},
        ).outcome(scale)


@dataclass(frozen=True)
class Found:
    """What the runs came to.

    Args:
        single: label -> errors of networks that learned alone or from a trained teacher.
        groups: label -> networks that learned from each other.
        pair: two independent networks together.
        entropies: label -> of the answers on training images, in nats, seed by seed.
    """

    single: Mapping[str, Errors]
    groups: Mapping[str, Group]
    pair: Errors
    entropies: Mapping[str, Sequence[float]]

    def outcome(self, scale: Scale) -> Outcome:
        """The verdict."""
        single, groups = self.single, self.groups
        names = {
            **{f"mutual-{count}": f"each of {count} small networks" for count in COUNTS},
            "mutual-mean": "each of 3, with the mean of its peers as target (DML_e)",
            "mutual-turns": "each of 2, updated one after the other",
        }
        mixed, two = groups[MIXED].members, "71.19 %, 70.75 % (ResNet-32)"
        lines = (
            Line("small network alone: test accuracy", "68.99 % (ResNet-32)", shown(single["small"])),
            *(
                Line(f"{name}: test accuracy", two if label == "mutual-turns" else "–", shown(groups[label].pooled))
                for label, name in names.items()
            ),
            Line("big network alone: test accuracy", "78.69 % (WRN-28-10)", shown(single["big"])),
            Line("big network with a small peer: test accuracy", "78.96 %", shown(mixed[0])),
            Line("small network with a big peer: test accuracy", "70.73 %", shown(mixed[1])),
            Line("small network taught by the trained big one: test accuracy", "–", shown(single["taught"])),
            Line("2 small networks together: test accuracy", "–", shown(groups["mutual-2"].ensemble)),
            Line("2 independent ones together: test accuracy", "–", shown(self.pair)),
            *(
                Line(f"entropy on training images, {name}, nats", "–", f"{fmean(self.entropies[label]):.3f}")
                for label, name in KINDS.items()
            ),
        )
        pictures = (_picture(single, groups),)
        return Outcome(lines, self._claims(), pictures, (*notes(scale), *_NOTES))

    def _claims(self) -> tuple[Claim, ...]:
        single, groups = self.single, self.groups
        two, three, four = (groups[f"mutual-{count}"].pooled for count in COUNTS)
        big, small = groups[MIXED].members
        return (
            better(two, single["small"], "Two small networks that learn from each other are better than one alone"),
            better(
                groups["mutual-turns"].pooled,
                single["small"],
                "So are two that are updated one after the other, as in the paper's algorithm",
            ),
            no_worse(three, two, "Three are no worse than two"),
            no_worse(four, three, "Four are no worse than three"),
            better(three, groups["mutual-mean"].pooled, "Each peer as a target is better than the peers' mean"),
            better(small, single["small"], "A small network gains from a big peer"),
            no_worse(big, single["big"], "A big network loses nothing to a small peer"),
            better(small, single["taught"], "An untrained big peer teaches better than a trained big teacher"),
            better(
                groups["mutual-2"].ensemble, self.pair, "Two peers together are better than two independent networks"
            ),
            self._keeps_entropy(),
        )

    def _keeps_entropy(self) -> Claim:
        alone_, mutual, mean = (self.entropies[label] for label in KINDS)
        more = [_more(mutual, alone_), _more(mutual, mean)]
        return Claim(
            "Mutual learning keeps the entropy of answers above that of independent networks and of DML_e",
            all(one.clear for one in more),
            f"{fmean(mutual):.3f} nats on training images; {more[0].value:.3f} ± {more[0].noise:.3f} more than "
            f"independent networks, {more[1].value:.3f} ± {more[1].noise:.3f} more than with DML_e, against {CLEAR:g} "
            "times the noise over seeds",
        )


def _more(one: Sequence[float], other: Sequence[float]) -> Difference:
    noise = sum(variance(values) / len(values) for values in (one, other) if len(values) > 1)
    return Difference(fmean(one) - fmean(other), math.sqrt(noise))


@dataclass(frozen=True)
class Group:
    """Networks that were trained together.

    Args:
        members: errors of each, over seeds.
        pooled: of all members of all seeds as networks of one kind; one group is one seed.
        ensemble: of all members together, over seeds.
    """

    members: Sequence[Errors]
    pooled: Errors
    ensemble: Errors

    @staticmethod
    def of(several: Sequence[Finished]) -> Group:
        """From runs that delivered ensembles, one per seed."""
        found: list[list[Predictions]] = [[answers(member, one) for member in _members(one)] for one in several]
        by_member = [Errors.in_predictions(list(each)) for each in zip(*found, strict=True)]
        pooled = Errors.in_predictions([one for each in found for one in each], group=len(by_member))
        return Group(by_member, pooled, together(found))


def _members(one: Finished) -> Sequence[Any]:
    ensemble = cast(Ensemble, cast(Any, one.network("last")).network)
    return list(ensemble.members)


def _dml(own: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "dml", "updates": "simultaneous", "delivers": "ensemble", **own}


def _entropies(several: Sequence[Finished]) -> list[float]:
    """Of each run; of a group the mean over its networks."""
    return [
        fmean(
            entropy(network, one)
            for network in (_members(one) if one.run.recipe.method.alike() else [one.network("last")])
        )
        for one in several
    ]


def _picture(single: Mapping[str, Errors], groups: Mapping[str, Group]) -> Picture:
    shown_as = {
        "alone": (single["small"], BAD),
        **{f"{count} peers": (groups[f"mutual-{count}"].pooled, GOOD) for count in COUNTS},
        "big peer": (groups[MIXED].members[1], GOOD),
        "big teacher": (single["taught"], INK),
    }

    def draw(axes: Axes) -> None:
        for place, (found, colour) in enumerate(shown_as.values()):
            accuracy, noise = 100 * (1 - found.rate), 100 * found.noise / found.images
            axes.errorbar(place, accuracy, noise, color=colour, marker="o", capsize=4)
        axes.set_xticks(range(len(shown_as)), list(shown_as))
        axes.set(ylabel="test accuracy of a small network, %")

    caption = "Means over members and seeds, with their noise over seeds and test images."
    return Picture("peers", "A small network's accuracy by its company", caption, draw, width=420, height=280)


EXPERIMENT = Dml2018()
