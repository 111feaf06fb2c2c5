"""Section 3: a transfer set without any 3, then one of 7s and 8s only; and what a correction of the biases gives back.

Two corrections are told apart. One is chosen without any label: the mean prediction over training images of all
digits, whose labels are not looked at, is made to be one in ten for each class whose bias moves. The other is the
paper's: the offset with the fewest errors on the test set, which test labels choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.class_bias import best_on_test, matching_prior, with_bias
from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.report.drawing import BAD, GOOD, MUTED
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.setting import PAPER, distilled, notes, teacher
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIGITS = tuple(str(digit) for digit in range(10))
OFFSETS = tuple(0.25 * step for step in range(-60, 61))
PRIOR = 0.1
CHANCE_HALVED = 0.5
CUT = 1.5
_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Case:
    """One transfer set.

    Args:
        classes: digits whose bias is corrected, all by themselves without labels, together on the test set.
        finished: one run per seed.
        unlabelled: images of all digits.
    """

    classes: tuple[int, ...]
    finished: Sequence[Finished]
    unlabelled: Finished

    @cached_property
    def raw(self) -> list[Predictions]:
        """As trained."""
        return [one.predictions() for one in self.finished]

    @cached_property
    def biases(self) -> list[list[float]]:
        """Fitted without labels, per seed."""
        part = self.unlabelled.data.train
        prior = [PRIOR] * len(self.classes)
        found = []
        for one in self.finished:
            answers = predict(one.network(), evaluation_batches(part, batch=_BATCH))
            found.append(matching_prior(answers.logits, self.classes, prior))
        return found

    @cached_property
    def fitted(self) -> list[Predictions]:
        """With these biases."""
        pairs = zip(self.raw, self.biases, strict=True)
        return [with_bias(predictions, self.classes, bias) for predictions, bias in pairs]

    @cached_property
    def offsets(self) -> list[float]:
        """Chosen on the test set, per seed."""
        return [best_on_test(predictions, self.classes, OFFSETS) for predictions in self.raw]

    def moved(self, offset: float) -> list[Predictions]:
        """With one offset for all seeds and all its classes."""
        return [with_bias(one, self.classes, [offset] * len(self.classes)) for one in self.raw]

    @cached_property
    def tuned(self) -> list[Predictions]:
        """Each with its own best offset on the test set."""
        pairs = zip(self.raw, self.offsets, strict=True)
        return [with_bias(one, self.classes, [offset] * len(self.classes)) for one, offset in pairs]


@dataclass(frozen=True)
class MissingClass:
    """Transfer sets that lack classes."""

    title: str = "Soft targets tell a student of classes that it never saw."
    paper: str = f"{PAPER}, section 3"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One teacher; students without 3s and with 7s and 8s only, for as many steps."""
        length = "2000 steps" if scale.quick else "24000 steps"
        return (
            teacher(scale),
            distilled("without-3", scale, length=length, data={"drop_classes": ["3"]}),
            distilled(
                "only-7-8",
                scale,
                length=length,
                data={"drop_classes": [digit for digit in DIGITS if digit not in "78"]},
            ),
        )

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Errors as trained, with biases fitted without labels, and with the paper's test-tuned ones."""
        (large,) = done.of("teacher")
        without, only = Case((3,), done.of("without-3"), large), Case((7, 8), done.of("only-7-8"), large)
        claims = (_recognised(without), _helped(without), _chance(only), _cut(only))
        pictures = (
            _curve(without, "without-3", "Transfer set without 3s: bias of class 3", 3.5),
            _curve(only, "only-7-8", "Transfer set of 7s and 8s: bias of both", -7.6),
        )
        lines = (Line("teacher: errors", "67", str(Errors.of([large]))), *_without_lines(without), *_only_lines(only))
        return Outcome(lines, claims, pictures, (*notes(scale), *_notes(without, only)))


def of_class(several: Sequence[Predictions], digit: int) -> Errors:
    """Errors on the test images of one digit."""
    return Errors.in_predictions([one.take(one.labels == digit) for one in several])


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):+.1f}"


def _without_lines(case: Case) -> list[Line]:
    def line(what: str, paper: str, several: Sequence[Predictions]) -> Line:
        errors, missing = Errors.in_predictions(several), of_class(several, 3)
        return Line(f"without 3s, {what}: errors (on {missing.images:,} 3s)", paper, f"{errors} ({missing})")

    label_free = [bias[0] for bias in case.biases]
    return [
        line("as trained", "206 (133)", case.raw),
        line("bias fitted without labels", "–", case.fitted),
        line("bias tuned on the test set", "109 (14)", case.tuned),
        Line("bias of class 3: without labels; tuned on the test set", "–; +3.5", f"{_mean(label_free)}; "
             f"{_mean(case.offsets)}"),
    ]  # fmt: skip


def _only_lines(case: Case) -> list[Line]:
    def line(what: str, paper: str, several: Sequence[Predictions]) -> Line:
        return Line(f"7s and 8s only, {what}: test error", paper, f"{Errors.in_predictions(several).rate:.1%}")

    seven, eight = (_mean([bias[place] for bias in case.biases]) for place in (0, 1))
    return [
        line("as trained", "47.3 %", case.raw),
        line("biases fitted without labels", "–", case.fitted),
        line("bias tuned on the test set", "13.2 %", case.tuned),
        Line("biases of 7 and 8 without labels; of both, tuned on the test set", "–; -7.6", f"{seven} and {eight}; "
             f"{_mean(case.offsets)}"),
    ]  # fmt: skip


def _recognised(case: Case) -> Claim:
    errors = of_class(case.fitted, 3)
    raw = of_class(case.raw, 3)
    return Claim(
        "A student that never saw a 3 recognises most 3s",
        raw.rate < CHANCE_HALVED,
        f"{1 - raw.rate:.1%} of the test 3s as trained, {1 - errors.rate:.1%} with the bias fitted without labels",
    )


def _helped(case: Case) -> Claim:
    fewer = Errors.in_predictions(case.fitted).fewer_than(Errors.in_predictions(case.raw))
    return Claim(
        "A part of its errors is only a bias that is too low: fitting it, without labels, removes some",
        fewer.clear,
        f"{fewer} fewer, against {CLEAR:g} times the noise over seeds and test images",
    )


def _chance(case: Case) -> Claim:
    errors = Errors.in_predictions(case.raw)
    return Claim(
        "Taught on 7s and 8s only, a student tells all ten digits apart far better than chance",
        errors.rate < CHANCE_HALVED,
        f"{errors.rate:.1%} errors as trained; knowing 7s and 8s only would leave 80 %",
    )


def _cut(case: Case) -> Claim:
    raw, fitted = Errors.in_predictions(case.raw), Errors.in_predictions(case.fitted)
    return Claim(
        f"Lowering the biases of 7 and 8, without labels, divides its errors by more than {CUT:g}",
        raw.mean > CUT * fitted.mean and fitted.fewer_than(raw).clear,
        f"{raw.rate:.1%} to {fitted.rate:.1%}: divided by {raw.mean / max(fitted.mean, 1):.1f}",
    )


def _notes(without: Case, only: Case) -> list[str]:
    found = []
    for name, case in (("without 3s", without), ("7s and 8s only", only)):
        fitted, tuned = Errors.in_predictions(case.fitted), Errors.in_predictions(case.tuned)
        found.append(f"{name}: the bias fitted without labels leaves {fitted} errors, the test-tuned one {tuned}")
    return [*found, "figures tuned on the test set are optimistic: its labels chose them"]


def _curve(case: Case, name: str, title: str, paper: float) -> Picture:
    counts = [Errors.in_predictions(case.moved(offset)).mean for offset in OFFSETS]
    label_free = sum(sum(bias) / len(bias) for bias in case.biases) / len(case.biases)

    def draw(axes: Axes) -> None:
        axes.plot(OFFSETS, counts, color=GOOD)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        for place, colour, text, height in (
            (label_free, GOOD, "without labels", 0.98),
            (paper, BAD, "paper's", 0.88),
        ):
            axes.axvline(place, color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
            axes.annotate(text, (place, height), (3, 0), ("data", "axes fraction"), "offset points", color=colour)
        axes.set(yscale="log", xlabel="added to the bias", ylabel="test errors")

    caption = "Test errors by bias; 0 is as trained. Dashed: the bias fitted without labels, and the paper's."
    return Picture(name, title, caption, draw)


EXPERIMENT = MissingClass()
