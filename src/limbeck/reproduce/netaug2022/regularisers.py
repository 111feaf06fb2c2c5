"""The study that motivates network augmentation: regularisers help a large network and cost a tiny one.

A tiny network and a large one are trained with crops and flips, and so with each of seven regularisers, one at a time,
and without flips. What one of them gains is the difference to the training with crops and flips alone of the same
network, image by image on the same test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.noise import CLEAR, Difference, Errors
from limbeck.evaluate.predictions import predict
from limbeck.report.drawing import BAD, GOOD, INK
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.netaug2022.setting import AUGMENT, NAMES, NETWORKS, PAPER, hundred, notes, recipe, size_of
from limbeck.sweep.finished import Done, Finished
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAIN = "plain"


@dataclass(frozen=True)
class Regulariser:
    """One way to regularise.

    Args:
        name: as papers call it.
        augment: keys of the data's `augment`, whole.
        network: arguments of the network.
        published: the paper's top-1 accuracies on ImageNet with it, in %, of the tiny network and of the large one.
    """

    name: str
    augment: Mapping[str, Any] = field(default_factory=lambda: AUGMENT)
    network: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)


def _transform(name: str, **arguments: Any) -> dict[str, Any]:
    return {**AUGMENT, "transforms": [{"name": name, **arguments}]}


WAYS: Mapping[str, Regulariser] = {
    PLAIN: Regulariser("no regulariser", published={"tiny": 52.4, "large": 76.8}),
    "no-flip": Regulariser("no flips", {key: value for key, value in AUGMENT.items() if key != "flip"}),
    "rotation": Regulariser("rotation", _transform("RandomRotation", degrees=15, interpolation="bilinear")),
    "cutout": Regulariser("cutout", {**AUGMENT, "cutout": 8}),
    "mixup": Regulariser("mixup", {**AUGMENT, "mixup": 0.2}, published={"tiny": 51.7, "large": 77.9}),
    "autoaugment": Regulariser(
        "AutoAugment", _transform("AutoAugment", policy="imagenet"), published={"tiny": 51.0, "large": 77.6}
    ),
    "randaugment": Regulariser("RandAugment", _transform("RandAugment", num_ops=2, magnitude=9)),
    "dropout": Regulariser("dropout", network={"dropout": 0.2}),
    "dropblock": Regulariser("DropBlock", network={"drop_block": 0.1}, published={"tiny": 48.7, "large": 78.4}),
}
OTHERS = tuple(way for way in WAYS if way != PLAIN)
NAMED = tuple(way for way in OTHERS if WAYS[way].published)
"""Those of which the paper has figures."""
_BATCH = 1000
_LOOKS = {"tiny": (BAD, -0.12, "^"), "large": (GOOD, 0.12, "o")}


@dataclass(frozen=True)
class Regularisers:
    """Two networks, nine trainings each."""

    title: str = "Regularisers help a network that over-fits and cost one that cannot fit."
    paper: str = f"{PAPER}, section 1"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Each network in each way, once per seed; nothing else differs."""
        size = size_of(scale)
        return tuple(
            Asked(
                f"{network}-{way}",
                recipe(
                    f"{network}-{way}",
                    hundred(size, regulariser.augment),
                    {**NETWORKS[network], **regulariser.network},
                    size,
                ),
            )
            for network in NETWORKS
            for way, regulariser in WAYS.items()
        )

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Gains and losses against the plain training of the same network."""
        errors = {(net, way): Errors.of(done.of(f"{net}-{way}")) for net in NETWORKS for way in WAYS}
        fitted = {key: training_accuracy(done.of("-".join(key))) for key in errors}
        gains = {(net, way): errors[net, way].fewer_than(errors[net, PLAIN]) for net in NETWORKS for way in OTHERS}
        images = errors["tiny", PLAIN].images
        lines = [_line(key, errors[key], fitted[key], gains.get(key)) for key in errors]
        claims = (
            *(_costs(errors, way) for way in NAMED),
            *(_helps(errors, way) for way in NAMED),
            _named_gain_less(gains, images),
            _over_fits(errors, fitted),
        )
        pictures = (_bars(gains, images), _fits(errors, fitted))
        return Outcome(tuple(lines), claims, pictures, (*notes(scale), *_NOTES))


_NOTES = (
    "one regulariser at a time beside crops and flips, which the paper's trainings have too; what flips do is shown by "
    "a training without them",
    "training accuracy is that of the finished network on the training images as they are stored, without augmentation "
    "and without dropout",
    "cutout's square is black, not of the mean colour as in its own paper",
    "the paper's figures are read off its bar chart, ± 0.1; it has none for the other regularisers",
)


def training_accuracy(several: Sequence[Finished]) -> list[float]:
    """Accuracy of each network on the images that it was trained on."""
    found = []
    for one in several:
        seen = predict(one.network("last"), evaluation_batches(one.data.train, batch=_BATCH))
        found.append(float((seen.logits.argmax(1) == seen.labels).double().mean()))
    return found


def _line(key: tuple[str, str], errors: Errors, fitted: Sequence[float], gain: Difference | None) -> Line:
    network, way = key
    told = WAYS[way].published
    paper = "–"
    if told:
        paper = f"{told[network]:.1f} %"
        paper += f" ({told[network] - WAYS[PLAIN].published[network]:+.1f})" if gain else ""
    ours = f"{1 - errors.rate:.2%} ({points(gain, errors.images)})" if gain else f"{1 - errors.rate:.2%}"
    return Line(
        f"{NAMES[network]}, {WAYS[way].name}: accuracy (gain in points); on training images",
        paper,
        f"{ours}; {fmean(fitted):.1%}",
    )


def points(gain: Difference, images: int) -> str:
    """A difference of so many test images, in points of accuracy, with its noise."""
    return f"{100 * gain.value / images:+.2f} ± {100 * gain.noise / images:.2f}"


def _costs(errors: Mapping[tuple[str, str], Errors], way: str) -> Claim:
    return _clearly(errors["tiny", PLAIN], errors["tiny", way], f"{WAYS[way].name} costs the tiny network accuracy")


def _helps(errors: Mapping[tuple[str, str], Errors], way: str) -> Claim:
    return _clearly(
        errors["large", way], errors["large", PLAIN], f"{WAYS[way].name} raises the large network's accuracy"
    )


def _clearly(one: Errors, other: Errors, text: str) -> Claim:
    fewer = one.fewer_than(other)
    return Claim(
        text,
        fewer.clear,
        f"{1 - one.rate:.2%} against {1 - other.rate:.2%}: {points(fewer, one.images)} points, against {CLEAR:g} times "
        "the noise over seeds and test images",
    )


def behind(gains: Mapping[tuple[str, str], Difference], way: str) -> Difference:
    """By how much less a regulariser gains on the tiny network; the noises of the two gains add in squares."""
    tiny, large = gains["tiny", way], gains["large", way]
    return Difference(large.value - tiny.value, math.hypot(large.noise, tiny.noise))


def _named_gain_less(gains: Mapping[tuple[str, str], Difference], images: int) -> Claim:
    found = {way: behind(gains, way) for way in NAMED}
    told = ", ".join(f"{WAYS[way].name} {points(one, images)}" for way, one in found.items())
    clear = sum(one.clear for one in found.values())
    return Claim(
        "Each of these regularisers gains less on the tiny network than on the large one",
        clear == len(found),
        f"points more on the large one: {told}; {clear} of {len(found)} are above {CLEAR:g} times their noise",
    )


def _over_fits(errors: Mapping[tuple[str, str], Errors], fitted: Mapping[tuple[str, str], Sequence[float]]) -> Claim:
    """What the study takes for granted."""
    above = {
        network: [
            trained - (1 - wrong / errors[network, PLAIN].images)
            for trained, wrong in zip(fitted[network, PLAIN], errors[network, PLAIN].counts, strict=True)
        ]
        for network in NETWORKS
    }
    told = "; ".join(f"{NAMES[network]} {', '.join(f'{gap:.1%}' for gap in gaps)}" for network, gaps in above.items())
    return Claim(
        "Without a regulariser every seed of the large network over-fits more than every seed of the tiny one",
        min(above["large"]) > max(above["tiny"]),
        f"training accuracy above test accuracy, seed by seed: {told}",
    )


def _bars(gains: Mapping[tuple[str, str], Difference], images: int) -> Picture:
    def draw(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        for network, (colour, aside, _) in _LOOKS.items():
            heights = [100 * gains[network, way].value / images for way in OTHERS]
            noises = [100 * gains[network, way].noise / images for way in OTHERS]
            places = [place + 1.6 * aside for place in range(len(OTHERS))]
            axes.bar(places, heights, 0.36, yerr=noises, color=colour, ecolor=INK, capsize=3, label=NAMES[network])
        axes.set_xticks(range(len(OTHERS)), [WAYS[way].name for way in OTHERS], rotation=30, ha="right")
        axes.set(ylabel="gain in test accuracy, points")
        axes.legend(frameon=False)

    caption = (
        "Against the plain training of the same network, with one standard deviation of the noise over seeds and test "
        "images. Above the line a regulariser helps."
    )
    return Picture("gains", "What each regulariser gains", caption, draw, width=520, height=320)


def _fits(errors: Mapping[tuple[str, str], Errors], fitted: Mapping[tuple[str, str], Sequence[float]]) -> Picture:
    def draw(axes: Axes) -> None:
        for network, (colour, aside, marker) in _LOOKS.items():
            for place, way in enumerate(WAYS):
                trained, tested = 100 * fmean(fitted[network, way]), 100 * (1 - errors[network, way].rate)
                axes.plot([place + aside] * 2, [trained, tested], color=colour, linewidth=1)
                axes.plot(place + aside, tested, color=colour, marker=marker)
                axes.plot(place + aside, trained, color=colour, marker=marker, fillstyle="none")
        axes.set_xticks(range(len(WAYS)), [one.name for one in WAYS.values()], rotation=30, ha="right")
        axes.set(ylabel="accuracy, %")
        axes.set_ylim(bottom=0)

    caption = (
        "Hollow: on the training images; filled: on the test images. Triangles: the tiny network; circles: the large "
        "one. The longer the line, the more it over-fits."
    )
    return Picture("fits", "Training and test accuracy", caption, draw, width=520, height=320)


EXPERIMENT = Regularisers()
