"""Sections 2 and 4 on MNIST: ten networks that differ in their seed only, the means of their answers, and one network.

The paper's setting is speech; the networks here are small nets under hard labels. The seed decides the initial weights
and the order of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.evaluate.predictions import Predictions
from limbeck.report.drawing import BAD, GOOD, LOOKS, MUTED
from limbeck.reproduce.ensembles import Mean, mean_of
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.setting import PAPER, alone, distilled, notes
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT = 0.5
MEANS: tuple[Mean, ...] = ("arithmetic", "geometric")


@dataclass(frozen=True)
class EnsembleMnist:
    """Members, ensemble, and one network distilled from the ensemble."""

    title: str = "One network keeps most of what an ensemble gains."
    paper: str = f"{PAPER}, sections 2 and 4"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """The members, and students of their arithmetic mean, equally long."""
        length = "20 epochs" if scale.quick else "60 epochs"
        members = tuple(range(count(scale)))
        taught = {"ensemble": [{"from": {"recipe": "member.yaml", "seed": seed}} for seed in members]}
        return (
            alone("member", scale, length=length, seeds=members),
            distilled("one", scale, length=length, teacher=taught),
        )

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Errors of members, of their means, and of the students."""
        members, one = Errors.of(done.of("member")), Errors.of(done.of("one"))
        given = [member.predictions() for member in done.of("member")]
        several = {mean: Errors.in_predictions([mean_of(given, mean)]) for mean in MEANS}
        gain, kept = several["arithmetic"].fewer_than(members), one.fewer_than(members)
        share = kept.value / gain.value if gain.value > 0 else 0.0
        lines = (
            Line(f"one of {len(given)} networks: errors of {members.images:,}", "–", str(members)),
            *(Line(f"{mean} mean of {len(given)}: errors", "–", str(errors)) for mean, errors in several.items()),
            Line("one network distilled from the arithmetic mean: errors", "–", str(one)),
            Line(
                "share of the ensemble's gain that it keeps (paper: frame accuracy of speech)", "86 %", f"{share:.0%}"
            ),
        )
        claims = (
            Claim(
                "The ensemble makes fewer errors than its members",
                gain.clear,
                f"{gain} fewer, against {CLEAR:g} times the noise over seeds and test images",
            ),
            Claim(
                "One network distilled from it keeps most of the gain",
                kept.clear and share >= KEPT,
                f"{kept} errors fewer than a member, of {gain}: {share:.0%}",
            ),
        )
        differ = "members differ in initial weights and in the order of the data, which one seed decides together"
        pictures = (_points(members, several["arithmetic"], one), _growing(given))
        return Outcome(lines, claims, pictures, (*notes(scale), differ))


def count(scale: Scale) -> int:
    """Members of the ensemble."""
    return 4 if scale.quick else 10


def _points(members: Errors, ensemble: Errors, one: Errors) -> Picture:
    rows = (
        ("members", members, LOOKS["alone"]),
        ("ensemble", ensemble, LOOKS["teacher"]),
        ("one", one, LOOKS["distilled"]),
    )

    def draw(axes: Axes) -> None:
        for place, (_, errors, look) in enumerate(rows):
            spread = torch.linspace(-0.15, 0.15, len(errors.counts)) if len(errors.counts) > 1 else [0.0]
            axes.plot(
                [place + float(x) for x in spread], errors.counts, look.marker, color=look.colour, mew=0, alpha=0.5
            )
            axes.errorbar(place, errors.mean, errors.noise, color=look.colour, marker="_", markersize=22, capsize=4)
        axes.set_xticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set(ylabel="test errors", xlim=(-0.5, len(rows) - 0.5))

    caption = "Each mark is one network; lines are means with their noise over seeds and test images."
    return Picture("ensemble", "Members, ensemble, one network", caption, draw)


def _growing(members: Sequence[Predictions]) -> Picture:
    sizes = range(1, len(members) + 1)
    counts = {mean: [Errors.in_predictions([mean_of(members[:k], mean)]).mean for k in sizes] for mean in MEANS}

    def draw(axes: Axes) -> None:
        for mean, colour, marker in zip(MEANS, (GOOD, BAD), ("o", "^"), strict=True):
            axes.plot(sizes, counts[mean], color=colour, marker=marker, markersize=5, mew=0, label=f"{mean} mean")
        axes.axhline(counts["arithmetic"][0], color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.set(xlabel="networks in the ensemble", ylabel="test errors")
        axes.legend(frameon=False)

    return Picture("growing", "Errors by size of the ensemble", "The first networks, in order of their seeds.", draw)
