"""Network augmentation on a tiny and on a large network: how well training and test images are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD
from limbeck.reproduce.claims import better, shown
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.netaug2022.regularisers import training_accuracy
from limbeck.reproduce.netaug2022.setting import AUGMENT, NAMES, NETWORKS, PAPER, Size, hundred, notes, recipe, size_of
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGER = 5
"""Times as many epochs: a step of the tiny network inside wider ones costs about 5 times the operations of one of its
own: 1 and the wide pass, in the mean 6 while widths are drawn and 1.8 afterwards."""
MORE = 3
"""Times as many images: with few of them even a tiny network over-fits once it is trained for long."""
CASES: Mapping[str, str] = {"tiny": "tiny", "tiny-more": "tiny", "tiny-longer": "tiny", "large": "large"}
"""Network of each pair of trainings, alone and as a part of wider ones."""
WAYS: Mapping[str, Any] = {"plain": "supervised", "netaug": {"name": "netaug", "calibrate": 2000}}
_TOLD = {"tiny-more": f", {MORE} times as many images", "tiny-longer": f", {LONGER} times as long"}
Curve = list[tuple[float, float]]
Curves = Mapping[str, Sequence[Curve]]
PUBLISHED = {("tiny", "plain"): "51.7 %", ("tiny", "netaug"): "53.3 %"}


@dataclass(frozen=True)
class NetAug2022:
    """Two networks, each alone and as a part of wider ones; the tiny one also for longer, and on more images."""

    title: str = (
        "As a part of wider networks a tiny one becomes better; a large one knows its training images better only."
    )
    paper: str = f"{PAPER}, tables 1 and 2, figure 4"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Each network in each way, once per seed."""
        size = size_of(scale)
        sizes = {
            "tiny-more": replace(size, images=MORE * size.images),
            "tiny-longer": replace(size, epochs=LONGER * size.epochs),
        }
        return [
            _asked(f"{case}-{way}", network, sizes.get(case, size), method)
            for case, network in CASES.items()
            for way, method in WAYS.items()
        ]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies on training and test images."""
        labels = [f"{case}-{way}" for case in CASES for way in WAYS]
        return Found(
            errors={label: Errors.of(done.of(label)) for label in labels},
            trained={label: training_accuracy(done.of(label)) for label in labels},
            held_out={label: [_held_out(one) for one in done.of(label)] for label in labels},
            losses={label: [_trained(one) for one in done.of(label)] for label in labels},
        ).outcome(scale)


@dataclass(frozen=True)
class Found:
    """What the runs came to.

    Args:
        errors: label -> on test images.
        trained: label -> accuracy on training images, seed by seed.
        held_out: label -> epoch and accuracy on held-out images, seed by seed.
        losses: label -> epoch and cross-entropy on training images, of the network itself, seed by seed.
    """

    errors: Mapping[str, Errors]
    trained: Mapping[str, Sequence[float]]
    held_out: Curves
    losses: Curves

    def outcome(self, scale: Scale) -> Outcome:
        """The verdict."""
        errors = self.errors
        lines = [
            Line(
                f"{NAMES[network]}, {'as a part of wider ones' if way == 'netaug' else 'alone'}"
                f"{_TOLD.get(case, '')}: test accuracy; on training images",
                PUBLISHED.get((case, way), "–"),
                f"{shown(errors[f'{case}-{way}'])}, {fmean(self.trained[f'{case}-{way}']):.1%}",
            )
            for case, network in CASES.items()
            for way in WAYS
        ]
        claims = (
            better(errors["tiny-netaug"], errors["tiny-plain"], "The tiny network gains on test images"),
            self._trains_better("tiny"),
            better(
                errors["tiny-more-netaug"],
                errors["tiny-more-plain"],
                f"It gains on test images where there are {MORE} times as many images",
            ),
            better(
                errors["tiny-longer-netaug"],
                errors["tiny-longer-plain"],
                f"It gains on test images where both trainings are {LONGER} times as long",
            ),
            self._trains_better("large"),
            better(errors["large-plain"], errors["large-netaug"], "The large network loses on test images"),
            better(
                errors["tiny-netaug"],
                errors["tiny-longer-plain"],
                "The tiny network gains more than from longer training",
            ),
        )
        said = (
            f"a step of network augmentation costs a second, wider pass; {LONGER} times as long alone costs as much",
            "BatchNorm's statistics are estimated on training images before each evaluation, as published",
            f"the trainings with {MORE} times as many images and those of network augmentation for {LONGER} times as "
            "long, with their claims, were added after the others had shown no gain",
        )
        return Outcome(tuple(lines), claims, tuple(self._pictures()), (*notes(scale), *said))

    def _pictures(self) -> Iterator[Picture]:
        """Of each case how well training images are known, and beside it held-out ones."""
        for case, network in CASES.items():
            who = f"{NAMES[network]}{_TOLD.get(case, '')}"
            yield _picture(f"{case}-training", f"Training loss: {who}", "nats for a training image", self.losses, case)
            yield _picture(f"{case}-held-out", f"Held-out accuracy: {who}", "accuracy, held out", self.held_out, case)

    def _trains_better(self, network: str) -> Claim:
        plain, augmented = (self.trained[f"{network}-{way}"] for way in WAYS)
        return Claim(
            f"The {NAMES[network]} gains on training images in every seed",
            all(after > before for before, after in zip(plain, augmented, strict=True)),
            f"{', '.join(f'{a:.1%}' for a in augmented)} against {', '.join(f'{b:.1%}' for b in plain)}",
        )


def _asked(label: str, network: str, size: Size, method: Any) -> Asked:
    return Asked(label, recipe(label, hundred(size, AUGMENT), NETWORKS[network], size, method=method))


def _held_out(one: Finished) -> Curve:
    return [(line["epoch"], line["validation"]["accuracy"]) for line in one.curves if "validation" in line]


def _trained(one: Finished) -> Curve:
    return [(line["epoch"], line["terms"]["task"]) for line in one.curves if "terms" in line]


def _picture(name: str, title: str, what: str, curves: Curves, case: str) -> Picture:
    def draw(axes: Axes) -> None:
        for way, colour in (("plain", BAD), ("netaug", GOOD)):
            for points in curves[f"{case}-{way}"]:
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1)
        axes.set(xlabel="epoch", ylabel=what)

    return Picture(name, title, "Blue: as a part of wider networks. Orange: alone. A line per seed.", draw)


EXPERIMENT = NetAug2022()
