"""Putting a network on a run's data: its classes matched by name, its pixels bridged, and said what was bridged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from limbeck.core.errors import ModelError
from limbeck.data.dataset import Dataset
from limbeck.data.special import DUSTBIN
from limbeck.recipe.descriptions import Descriptions, bridged


@dataclass
class Joined:
    """A network that runs on this data.

    Args:
        network: a bridge, or an ensemble of bridges.
        description: how to build it again, as plain data; absent for specialists.
        notes: what was bridged, in sentences.
    """

    network: nn.Module
    description: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def descriptions(joined: Mapping[str, Joined], dataset: Dataset) -> Descriptions:
    """What is known of a run's networks: role -> network on its data."""
    given = {role: (one.network, one.description) for role, one in joined.items() if one.description is not None}
    return Descriptions(given, dataset)


Knows = Literal["all", "some"]
"""Which of the data's classes a network tells apart: all; or some, and one output more for all others."""


def put_on(
    dataset: Dataset, described: dict[str, Any], network: nn.Module, role: str, *, who: str, knows: Knows = "all"
) -> Joined:
    """A network of a description on this data: its classes matched, its pixels bridged.

    Args:
        dataset: of the run that asks.
        described: how to build the network, as `network.json` says it.
        network: built so, with its weights.
        role: what notes call it.
        who: what errors call it.
        knows: a specialist keeps its outputs as they are.

    Raises:
        ModelError: it takes other images, or its outputs are not those that are expected.
    """
    if described["channels"] == 1 < dataset.channels:
        raise ModelError(
            f"{who}: the network takes grey images, these have {dataset.channels} channels; "
            "set data.channels: 1 where the data set has that key, or take another network"
        )
    if knows == "some":
        _check_specialist(described["classes"], dataset.classes, who=who)
        columns = None
    else:
        columns = match_classes(described["classes"], dataset.classes, who=who)
    shown = dataset.shown if dataset.at_most else None
    bridge = bridged(network, described, columns=columns, shown=shown)
    return Joined(bridge, described, _notes(role, described, dataset, knows))


def match_classes(outputs: Sequence[str], classes: Sequence[str], *, who: str) -> list[int] | None:
    """For each class of the data the network's output column; None when they are the same in the same order.

    Args:
        outputs: names of the network's outputs, in order.
        classes: of the data.
        who: whose outputs, for the message.

    Raises:
        ModelError: a class has no output; the message lists both sides.
    """
    if list(outputs) == list(classes):
        return None
    missing = [name for name in classes if name not in outputs]
    if missing:
        raise ModelError(
            f"{who}: the network has no output for {len(missing)} of {len(classes)} classes: {_listed(missing)}. "
            f"Its {len(outputs)} outputs are: {_listed(outputs)}. The data's classes are: {_listed(classes)}. "
            "Take a teacher that knows them, leave these classes out of the data, or let the network learn them: "
            "from: {recipe: ..., head: refitted} for a student."
        )
    return [list(outputs).index(name) for name in classes]


def _check_specialist(outputs: Sequence[str], classes: Sequence[str], *, who: str) -> None:
    unknown = [name for name in outputs[:-1] if name not in classes]
    if outputs[-1] != DUSTBIN or unknown or len(outputs) < 2:
        raise ModelError(
            f"{who}: expected a specialist, with outputs for some of the data's classes and a last one {DUSTBIN!r} for "
            f"all others, got {_listed(outputs)}; train it on data with the key special"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")


def _notes(role: str, described: dict[str, Any], dataset: Dataset, knows: Knows) -> list[str]:
    """What the bridge changes, for the reader."""
    size, own = (described["height"], described["width"]), (dataset.height, dataset.width)
    checks: list[tuple[Callable[[], bool], str]] = [
        (lambda: size != own, f"images of {own[0]}×{own[1]} pixels are scaled to its {size[0]}×{size[1]}"),
        (
            lambda: described["channels"] > dataset.channels,
            f"grey images are repeated to its {described['channels']} channels",
        ),
        (
            lambda: bool(described["mean"]) and not _alike(described, dataset),
            "it keeps the normalisation it was trained with, which is not this data's",
        ),
        (
            lambda: knows == "all" and described["classes"] != list(dataset.classes),
            f"its {len(described['classes'])} outputs are matched by name with the {len(dataset.classes)} classes",
        ),
    ]
    return [f"{role}: {text}" for wanted, text in checks if wanted()]


def _alike(described: dict[str, Any], dataset: Dataset) -> bool:
    pairs = zip([*described["mean"], *described["std"]], [*dataset.mean, *dataset.std], strict=False)
    return all(abs(one - other) < 0.02 for one, other in pairs)
