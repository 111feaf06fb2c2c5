"""Network augmentation on a tiny and on a large network: how well training and test images are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from limbeck.compare.noise import Errors
from limbeck.report.drawing import BAD, GOOD
from limbeck.reproduce.claims import better, shown
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.netaug2022.regularisers import training_accuracy
from limbeck.reproduce.netaug2022.setting import NAMES, NETWORKS, PAPER, hundred, notes, recipe, size_of
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGER = 3
"""Times as many epochs of the control: about what the wide network's passes cost beside the tiny one's."""
AUGMENT = {"flip": True, "crop": 4}
WAYS: Mapping[str, Any] = {"plain": "supervised", "netaug": {"name": "netaug", "calibrate": 4000}}
PUBLISHED = {("tiny", "plain"): "51.7 %", ("tiny", "netaug"): "53.3 %"}


@dataclass(frozen=True)
class NetAug2022:
    """Two networks, each alone and as a part of wider ones; and the tiny one alone for longer."""

    title: str = "A tiny network that is trained as a part of wider ones becomes better; a large one does not."
    paper: str = f"{PAPER}, tables 1 and 2, figure 4"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Each network in each way, once per seed."""
        size = size_of(scale)
        data = hundred(size, AUGMENT)
        longer = recipe("tiny-longer", data, NETWORKS["tiny"], size)
        longer["train"]["length"] = f"{LONGER * size.epochs} epochs"
        return [
            *(
                Asked(f"{network}-{way}", recipe(f"{network}-{way}", data, NETWORKS[network], size, method=method))
                for network in NETWORKS
                for way, method in WAYS.items()
            ),
            Asked("tiny-longer", longer),
        ]

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Accuracies on training and test images."""
        labels = [*(f"{network}-{way}" for network in NETWORKS for way in WAYS), "tiny-longer"]
        curves = {label: [_curve(one) for one in done.of(label)] for label in labels}
        return Found(
            errors={label: Errors.of(done.of(label)) for label in labels},
            trained={label: training_accuracy(done.of(label)) for label in labels},
            curves=curves,
        ).outcome(scale)


@dataclass(frozen=True)
class Found:
    """What the runs came to.

    Args:
        errors: label -> on test images.
        trained: label -> accuracy on training images, seed by seed.
        curves: label -> epoch and accuracy on held-out images, seed by seed.
    """

    errors: Mapping[str, Errors]
    trained: Mapping[str, Sequence[float]]
    curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]]

    def outcome(self, scale: Scale) -> Outcome:
        """The verdict."""
        errors = self.errors
        lines = [
            Line(
                f"{NAMES[network]}, {'as a part of wider ones' if way == 'netaug' else 'alone'}: test accuracy; on "
                "training images",
                PUBLISHED.get((network, way), "–"),
                f"{shown(errors[f'{network}-{way}'])}, {fmean(self.trained[f'{network}-{way}']):.1%}",
            )
            for network in NETWORKS
            for way in WAYS
        ]
        longer = f"{shown(errors['tiny-longer'])}, {fmean(self.trained['tiny-longer']):.1%}"
        lines.append(
            Line(f"tiny network alone, {LONGER} times as long: test accuracy; on training images", "–", longer)
        )
        claims = (
            better(errors["tiny-netaug"], errors["tiny-plain"], "The tiny network gains on test images"),
            self._trains_better("tiny"),
            _no_gain(errors["large-netaug"], errors["large-plain"]),
            better(
                errors["tiny-netaug"], errors["tiny-longer"], "The tiny network gains more than from longer training"
            ),
        )
        said = (
            f"a step of network augmentation costs a second, wider pass; the control is trained {LONGER} times as long",
            "BatchNorm's statistics are estimated on training images before each evaluation, as published",
        )
        return Outcome(tuple(lines), claims, (_picture(self.curves),), (*notes(scale), *said))

    def _trains_better(self, network: str) -> Claim:
        plain, augmented = (self.trained[f"{network}-{way}"] for way in WAYS)
        return Claim(
            f"The {NAMES[network]} gains on training images in every seed",
            all(after > before for before, after in zip(plain, augmented, strict=True)),
            f"{', '.join(f'{a:.1%}' for a in augmented)} against {', '.join(f'{b:.1%}' for b in plain)}",
        )


def _no_gain(augmented: Errors, plain: Errors) -> Claim:
    return Claim(
        "The large network does not gain on test images",
        not augmented.fewer_than(plain).clear,
        f"{shown(augmented)} against {shown(plain)}",
    )


def _curve(one: Finished) -> list[tuple[float, float]]:
    return [(line["epoch"], line["validation"]["accuracy"]) for line in one.curves if "validation" in line]


def _picture(curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]]) -> Picture:
    def draw(axes: Axes) -> None:
        for label, several in curves.items():
            colour = GOOD if label.endswith("netaug") else BAD
            style = "-" if label.startswith("tiny") else "--"
            for points in several:
                axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, linewidth=1)
        axes.set(xlabel="epoch", ylabel="accuracy on held-out images")

    caption = "Green: as a part of wider networks. Red: alone. Dashed: the large network."
    return Picture("curves", "Accuracy by epoch", caption, draw, width=420, height=290)


EXPERIMENT = NetAug2022()
