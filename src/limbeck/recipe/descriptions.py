"""How a delivered network is built again: what `network.json` says, and the network from it.

A network by name is described by its name, its arguments and what it expects of its images. One that a method assembled
(`limbeck.core.assembled`) is described by its class, its facts and the descriptions of its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from limbeck.core.assembled import Assembled
from limbeck.core.bridge import Bridge, inner
from limbeck.core.errors import MethodError, ModelError
from limbeck.data.dataset import Dataset
from limbeck.models.build import build
from limbeck.recipe.names import UnknownName, load

Description = dict[str, Any]

STATED = ("classes", "mean", "std", "channels", "height", "width")
"""What a file of weights says of its network."""


class Descriptions:
    """Of the networks that a run was given, and so of what is made of them.

    Args:
        given: role -> network and its description.
        dataset: of the run.
    """

    def __init__(self, given: Mapping[str, tuple[nn.Module, Description]], dataset: Dataset) -> None:
        # the student first: a network like several roles' is described as the student
        roles = sorted(given, key=lambda role: role != "student")
        tops = [(given[role][0], {**given[role][1], "role": role}) for role in roles]
        inside = [part for network, described in tops for part in _parts_of(network, described)]
        self._given = [(inner(network), _layout(network), described) for network, described in (*tops, *inside)]
        self._dataset = dataset

    def of(self, network: nn.Module) -> Description:
        """The description of a network that a method delivers; with its role, if it is one that was given.

        Raises:
            MethodError: it is neither a given network, nor like one, nor `Assembled`.
        """
        plain, layout = inner(network), _layout(network)
        same = [described for known, _, described in self._given if known is plain]
        if not same and isinstance(plain, Assembled):
            parts = {name: self.of(part) for name, part in plain.parts().items()}
            return assembled(type(plain), plain.facts(), parts, self._dataset)
        alike = [_without_role(described) for _, known, described in self._given if known == layout]
        if not same + alike:
            raise MethodError(
                f"deliver() gave a {type(plain).__name__}, which could not be built again from its file; it should "
                "give a role's network, one whose weights have the names and shapes of a given network, or an Assembled"
            )
        return (same + alike)[0]


def _parts_of(network: nn.Module, described: Description) -> Iterator[tuple[nn.Module, Description]]:
    """The networks of which one is made; a method may make something else of them."""
    plain = inner(network)
    if not isinstance(plain, Assembled) or "parts" not in described:  # a person's own code may make one, too
        return
    for name, part in plain.parts().items():
        own = _without_role(described["parts"][name])
        yield part, own
        yield from _parts_of(part, own)


def _without_role(described: Description) -> Description:
    return {key: value for key, value in described.items() if key != "role"}


def _layout(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in inner(network).state_dict().items()}


def assembled(
    kind: type[Assembled], facts: Mapping[str, Any], parts: Mapping[str, Description], dataset: Dataset
) -> Description:
    """The description of a network that is made of others; it takes the data's images as they are."""
    names = list(dict.fromkeys(part["name"] for part in parts.values()))
    return {
        "name": f"{kind.__name__} of {', '.join(names)}",
        "assembled": f"{kind.__module__}:{kind.__qualname__}",
        "facts": dict(facts),
        "parts": dict(parts),
        "arguments": {},
        "count": len(dataset.classes),
        "classes": list(dataset.classes),
        "mean": [],
        "std": [],
        "channels": dataset.channels,
        "height": dataset.height,
        "width": dataset.width,
    }


def rebuild(described: Description, *, pretrained: bool = False) -> nn.Module:
    """The network of a description, without its bridge, with fresh (or published) weights.

    Raises:
        ModelError: it names something that is not there.
    """
    if "assembled" in described:
        kind = _kind(described["assembled"])
        parts = {
            name: bridged(rebuild(part), part, columns=_columns(part["classes"], described["classes"]))
            for name, part in described["parts"].items()
        }
        example = torch.zeros(2, described["channels"], described["height"], described["width"])
        return kind.assemble(parts, example, **described["facts"])
    return build(
        described["name"],
        described["arguments"],
        classes=described["count"],
        channels=described["channels"],
        height=described["height"],
        width=described["width"],
        pretrained=pretrained,
    )


def bridged(
    network: nn.Module,
    described: Description,
    *,
    columns: Sequence[int] | None = None,
    shown: Sequence[float] | None = None,
) -> Bridge:
    """A network with what its description says of its images."""
    return Bridge(
        network,
        mean=described["mean"] or None,
        std=described["std"] or None,
        channels=described["channels"],
        size=(described["height"], described["width"]),
        columns=columns,
        shown=shown,
    )


def _columns(outputs: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    return None if list(outputs) == list(classes) else [list(outputs).index(name) for name in classes]


def _kind(name: str) -> type[Assembled]:
    try:
        kind = load(name)
    except UnknownName as error:
        raise ModelError(f"this network is assembled by {name}, which is not there: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Assembled)):
        raise ModelError(f"this network is said to be assembled by {name}, which assembles no networks")
    return kind
