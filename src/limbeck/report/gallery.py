"""The test images on which the networks say the most different things, with what each of them says."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.results import Entry, Results, Role
from limbeck.report.facts import listed, measured_part

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES = 12
_CLASSES = 4
_SIDE = 112
_SHORT = 4


@dataclass(frozen=True)
class Bar:
    """What one network says of one class.

    Args:
        role: of the network.
        probability: in [0, 1].
        text: the same in %.
        first: whether it is the network's answer.
    """

    role: Role
    probability: float
    text: str
    first: bool


@dataclass(frozen=True)
class Saying:
    """What all networks say of one class."""

    name: str
    true: bool
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Picture:
    """An image and what the networks say about it.

    Args:
        source: PNG as a data URI.
        alt: for who cannot see it.
        truth: its label; "unlabelled" without one.
        labelled: whether it has one.
        outcome: who was right.
        sayings: the classes that matter for it.
    """

    source: str
    alt: str
    truth: str
    labelled: bool
    outcome: str
    sayings: Sequence[Saying]


@dataclass(frozen=True)
class Gallery:
    """Pictures, and how they were chosen.

    Args:
        title: of the section.
        caption: how they were chosen.
        entries: the networks, in the order of the bars.
        pictures: the one with the largest difference first.
        stacked: whether names of classes are too long to stand beside their bars.
    """

    title: str
    caption: str
    entries: Sequence[Entry]
    pictures: Sequence[Picture]
    stacked: bool


def gallery(results: Results, *, count: int = IMAGES) -> Gallery | None:
    """Choose and describe the pictures; None when no image tells anything.

    Args:
        results: the first seed of each role speaks.
        count: of pictures.

    Raises:
        DataError: an image cannot be read, or the predictions are of other images.
    """
    entries = [results.of(row.role)[0] for row in results.rows()]
    aligned = _aligned([entry.predictions for entry in entries])
    probabilities = torch.stack([each.logits.double().softmax(1) for each in aligned])
    score = _difference(probabilities) if len(entries) > 1 else _wrongness(probabilities[0], aligned[0].labels)
    values, order = score.sort(descending=True, stable=True)
    chosen = order[:count][values[:count] > 1e-6]
    if not len(chosen):
        return None
    images = pixels(results, aligned[0].ids[chosen])
    pictures = [
        _picture(results, entries, probabilities[:, n], int(aligned[0].labels[n]), int(aligned[0].ids[n]), image)
        for n, image in zip(chosen.tolist(), images, strict=True)
    ]
    stacked = max(len(name) for name in results.classes) > _SHORT
    return Gallery(*_words(results, entries), entries, pictures, stacked)


def _words(results: Results, entries: Sequence[Entry]) -> tuple[str, str]:
    split, _ = measured_part(results)
    seed = f"seed {entries[-1].seed}"
    if len(entries) == 1:
        return (
            "Most confident mistakes",
            f"Images of the {split} split on which the network is surest and wrong ({seed}).",
        )
    names = listed(entry.label for entry in entries)
    return (
        "Where the networks differ most",
        f"Images of the {split} split with the largest total variation between the class probabilities of any two of "
        f"{names} ({seed} of the students). They are chosen for their disagreement, so they are not typical.",
    )


def _aligned(predictions: Sequence[Predictions]) -> list[Predictions]:
    """All in the order of their ids."""
    aligned = [each.take(each.ids.argsort(stable=True)) for each in predictions]
    if any(not torch.equal(each.ids, aligned[0].ids) for each in aligned):
        raise DataError("expected all networks' predictions on the same images, got other ids; run the recipe again")
    return aligned


def _difference(probabilities: Float64[Tensor, "networks n classes"]) -> Float64[Tensor, " n"]:
    """The largest total variation, half of sum_c |p - q|, between any two networks."""
    distances = [(p - q).abs().sum(1) / 2 for p, q in combinations(probabilities, 2)]
    return torch.stack(distances).amax(0)


def _wrongness(probabilities: Float64[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """How sure the network is of a wrong answer; 0 where it is right or nobody knows."""
    confidence, answer = probabilities.max(1)
    return confidence * ((answer != labels) & (labels >= 0))


def pixels(results: Results, ids: Int64[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
    """The images of these samples in the split that was measured; raises DataError if one is not in it."""
    split, part = measured_part(results)
    places = {} if part is None else {int(id_): place for place, id_ in enumerate(part.ids.tolist())}
    missing = [int(id_) for id_ in ids.tolist() if int(id_) not in places]
    if part is None or missing:
        raise DataError(
            f"expected the images of the predictions in the {split} split, got none with the id {missing[0]}; the data "
            "has changed since the run: run the recipe again"
        )
    return part.pixels_at(torch.tensor([places[int(id_)] for id_ in ids.tolist()]))


def _picture(
    results: Results,
    entries: Sequence[Entry],
    probabilities: Float64[Tensor, "networks classes"],
    label: int,
    id_: int,
    image: UInt8[Tensor, "c h w"],
) -> Picture:
    truth = results.classes[label] if label >= 0 else "unlabelled"
    answers = probabilities.argmax(1).tolist()
    sayings = [
        Saying(
            results.classes[c],
            c == label,
            [
                Bar(entry.role, p, f"{100 * p:.0f}", first=answer == c)
                for entry, p, answer in zip(entries, probabilities[:, c].tolist(), answers, strict=True)
            ],
        )
        for c in _classes_shown(probabilities, answers, label)
    ]
    outcome = _outcome(entries, answers, label)
    alt = f"Image {id_}, {f'labelled {truth}' if label >= 0 else truth}"
    return Picture(data_uri(image), alt, truth, label >= 0, outcome, sayings)


def _classes_shown(probabilities: Float[Tensor, "networks classes"], answers: Sequence[int], label: int) -> list[int]:
    """The true class, every answer, then the likeliest others, in the order of the largest probability."""
    largest = probabilities.amax(0)
    wanted = dict.fromkeys([*([label] if label >= 0 else []), *answers])
    others = [c for c in largest.argsort(descending=True, stable=True).tolist() if c not in wanted]
    kept = [*wanted, *others[: max(0, _CLASSES - len(wanted))]]
    return sorted(kept, key=lambda c: (-largest[c].item(), c))


def _outcome(entries: Sequence[Entry], answers: Sequence[int], label: int) -> str:
    if label < 0:
        return ""
    right = [entry.role for entry, answer in zip(entries, answers, strict=True) if answer == label]
    if len(entries) == 1:
        return "wrong" if not right else "right"
    if not right:
        return "all wrong"
    return "all right" if len(right) == len(entries) else f"right: {listed(right)}"


def data_uri(image_pixels: UInt8[Tensor, "c h w"]) -> str:
    """A PNG of about 112 pixels: small images grow in whole steps so that their pixels stay squares."""
    from PIL import Image as pil

    array = image_pixels[0] if len(image_pixels) == 1 else image_pixels.permute(1, 2, 0)
    image: Image = pil.fromarray(array.numpy())
    factor = _SIDE // max(image.size)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), pil.Resampling.NEAREST)
    elif max(image.size) > 2 * _SIDE:
        image.thumbnail((2 * _SIDE, 2 * _SIDE), pil.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
