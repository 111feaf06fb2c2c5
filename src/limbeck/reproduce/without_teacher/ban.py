"""Born-again networks: each generation, their ensemble beside independent networks, and what a gain is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD, INK, MUTED
from limbeck.reproduce.claims import better, counted, no_worse, shown
from limbeck.reproduce.experiment import Line, Outcome, Picture, Scale
from limbeck.reproduce.without_teacher.setting import BIG, alone, every, independent, notes, recipe, together
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GENERATIONS = 3
VARIANTS: Mapping[str, str] = {
    "ban+l": "teacher and labels (BAN+L)",
    "cwtm": "labels weighted by the teacher's confidence (CWTM)",
    "dkpp": "the teacher's other classes permuted (DKPP)",
}
PUBLISHED: Mapping[str, str] = {
    "alone": "81.75 %",
    "ban-1": "82.39 %; 83.05 % in the table of the variants",
    "ban-2": "82.78 %",
    "ban-3": "83.41 %",
    "ban+l": "82.32 %",
    "cwtm": "82.16 %",
    "dkpp": "82.16 %",
    "born": "84.32 %",
}
"""Accuracies of DenseNet-112-33 on CIFAR-100, from the paper's errors."""


@dataclass(frozen=True)
class Ban2018:
    """A teacher, three generations, the variants of the first one, and independent networks."""

    title: str = "A network that learns from one like itself becomes better than it."
    paper: str = (
        "Furlanello, Lipton, Tschannen, Itti, Anandkumar, Born-Again Neural Networks, ICML 2018, arXiv:1805.04770"
    )

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Every network once per seed."""
        chain = [
            Asked(f"ban-{k}", recipe("ban", scale, {"student": BIG}, "born_again", generations=k))
            for k in range(1, GENERATIONS + 1)
        ]
        variants = [
            Asked(
                _label(name),
                recipe(_label(name), scale, {"student": BIG}, {"name": "born_again", "variant": name}, generations=1),
            )
            for name in VARIANTS
        ]
        return [*alone("alone", scale, BIG, members=GENERATIONS), *chain, *variants]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies of each generation and variant, and of ensembles of as many networks."""
        chain = [f"ban-{k}" for k in range(1, GENERATIONS + 1)]
        errors = {"alone": every(done, "alone", GENERATIONS)}
        errors |= {label: Errors.of(done.of(label)) for label in (*chain, *map(_label, VARIANTS))}
        born = together([[one.predictions() for one in each] for each in zip(*map(done.of, chain), strict=True)])
        others = independent(done, "alone", GENERATIONS)
        names = {
            "alone": "teacher, labels only (generation 0)",
            **{f"ban-{k}": f"generation {k}" for k in range(1, GENERATIONS + 1)},
            **{_label(name): f"generation 1, {text}" for name, text in VARIANTS.items()},
        }
        published = {_label(name): figure for name, figure in PUBLISHED.items()}
        lines = (
            *(Line(f"{names[label]}: test accuracy", published[label], shown(one)) for label, one in errors.items()),
            *(
                Line(f"{names[after]} against {names[before]}", "–", counted(errors[after], errors[before]))
                for before, after in pairwise(chain)
            ),
            Line(f"ensemble of generations 1 to {GENERATIONS}: test accuracy", PUBLISHED["born"], shown(born)),
            Line(f"ensemble of {GENERATIONS} independent networks: test accuracy", "–", shown(others)),
        )
        claims = (
            *(
                better(errors[label], errors["alone"], f"{names[label].capitalize()} is better than labels alone")
                for label in chain
            ),
            *(
                better(born, errors[label], f"The ensemble of the generations is better than {names[label]}")
                for label in chain
            ),
            no_worse(born, others, "The ensemble of the generations is no worse than one of independent networks"),
            no_worse(errors["ban-1"], errors["ban-l"], "Without labels a generation is no worse than with them"),
            better(errors["dkpp"], errors["alone"], "With its other classes permuted, the teacher still helps"),
        )
        return Outcome(lines, claims, (_picture(errors, born, others),), (*notes(scale), *_NOTES))


_NOTES = (
    "generations are compared with labels alone, as in the paper; that each is better than the one before it does not "
    "claim: it calls such gains inconsistent, and its table is not monotone",
    "labels weighted by confidence are reported only: in the paper they help two of four networks",
    "there is one fixed order of teachers: generation k of a seed learns from generation k - 1 of that seed; labels "
    "alone are the teachers and the independent networks",
)


def _label(variant: str) -> str:
    return variant.replace("+", "-")


def _picture(errors: Mapping[str, Errors], born: Errors, others: Errors) -> Picture:
    shown_as = {**errors, "all generations": born, "all independent": others}

    def draw(axes: Axes) -> None:
        colours = {"alone": BAD, "all independent": MUTED, "all generations": INK}
        for place, (label, found) in enumerate(shown_as.items()):
            colour = colours.get(label, GOOD)
            axes.errorbar(
                place, 100 * (1 - found.rate), 100 * found.noise / found.images, color=colour, marker="o", capsize=4
            )
            axes.plot(
                [place] * len(found.counts), [100 * (1 - c / found.images) for c in found.counts], ".", color=colour
            )
        axes.set_xticks(range(len(shown_as)), list(shown_as), rotation=30, ha="right")
        axes.set(ylabel="test accuracy, %")

    caption = "Means with their noise over seeds and test images; dots: seeds."
    return Picture("generations", "Test accuracy by generation and variant", caption, draw, width=460, height=300)


EXPERIMENT = Ban2018()
