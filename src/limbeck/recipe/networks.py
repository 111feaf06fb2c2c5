"""Networks of a run, joined to its data: built, loaded, normalised, sized, and with their classes matched by name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy
import torch
from torch import nn

from limbeck.adapters.ensemble import Ensemble as EnsembleNetwork
from limbeck.core.bridge import Bridge, inner
from limbeck.core.errors import ModelError
from limbeck.data.dataset import Dataset
from limbeck.evaluate.mode import device_of, evaluating
from limbeck.models.build import build
from limbeck.models.preprocessing import Preprocessing, preprocessing_of
from limbeck.models.weights import load_weights, read_metadata
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run
from limbeck.recipe.models import Ensemble, From, Network, Normalize

STATED = ("classes", "mean", "std", "channels", "height", "width")
"""What a file of weights says of its network."""


@dataclass
class Joined:
    """A network that runs on this data.

    Args:
        network: a bridge, or an ensemble of bridges.
        description: how to build it again, as plain data; absent for an ensemble.
        notes: what was bridged, in sentences.
    """

    network: nn.Module
    description: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def join(run: Run, role: str, dataset: Dataset, *, frozen: bool, trained: bool = True) -> Joined:
    """The network of a role.

    Args:
        run: whose recipe names it; the runs before it are finished.
        role: in `models`.
        dataset: of the run.
        frozen: a frozen network must have weights from somewhere.
        trained: False = a run that is not finished gives its network untrained, to look at its shapes.

    Raises:
        ModelError: it cannot be built, has no weights though it is to teach, or lacks classes of the data.
    """
    form = run.recipe.models[role]
    if isinstance(form, Ensemble) and not frozen:
        raise ModelError(f"models.{role}: an ensemble can teach, but it cannot be trained; give one network")
    if not isinstance(form, Ensemble):
        return _member(run, form, role, dataset, frozen=frozen, trained=trained)
    members = [
        _member(run, member, f"{role}.{i}", dataset, frozen=frozen, trained=trained)
        for i, member in enumerate(form.ensemble)
    ]
    notes = list(dict.fromkeys(note for member in members for note in member.notes))
    return Joined(EnsembleNetwork([m.network for m in members], mean=form.mean), None, notes)


def _member(run: Run, form: Network | From, role: str, dataset: Dataset, *, frozen: bool, trained: bool) -> Joined:
    if isinstance(form, From):
        upstream = run.upstream[role]
        if trained or RunFolder(upstream.folder).state == "finished":
            return _from_run(upstream, role, dataset)
        described = join(upstream, "student", upstream.recipe.data.load(), frozen=False, trained=False).description
        return _on(
            dataset, described or {}, rebuild(described or {}), role, who=f"models.{role} (from {upstream.name})"
        )
    if frozen and not (form.pretrained or form.weights or ":" in form.name):
        raise ModelError(
            f"models.{role}: {form.name} is to teach but has no weights; give it `from: recipe.yaml`, "
            "`weights: file.safetensors` or `pretrained: true`"
        )
    return _by_name(form, run.seed, role, dataset, frozen=frozen)


def _by_name(form: Network, seed: int, role: str, dataset: Dataset, *, frozen: bool) -> Joined:
    stated = _stated(form)
    outputs = form.classes or (stated.classes if stated else None)
    published_head = form.pretrained and frozen and not outputs
    height, width = stated.size if stated else (dataset.height, dataset.width)
    described: dict[str, Any] = {
        "name": form.name,
        "arguments": dict(form.arguments),
        "count": None if published_head else len(outputs or dataset.classes),
        "channels": stated.channels if stated else dataset.channels,
        "height": height,
        "width": width,
    }
    network = _seeded(described, form, f"{seed}/{role}")
    published = preprocessing_of(network, form.name) if form.pretrained else stated
    if published_head:
        outputs = published.classes if published else None
        if outputs is None:
            raise ModelError(f"models.{role}: {form.name} does not say what its outputs mean; list them in `classes`")
    described |= {"classes": list(outputs or dataset.classes), **_bridge_of(form, role, dataset, published)}
    _check_outputs(network, described, role)
    joined = _on(dataset, described, network, role, who=f"models.{role}")
    if frozen and not (form.pretrained or form.weights):
        joined.notes.append(f"{role}: no weights are given, so it teaches what {form.name} itself put into it")
    return joined


def _seeded(described: dict[str, Any], form: Network, seed: str) -> nn.Module:
    """The network with its first weights, whichever generator its code draws them from."""
    number = Random(seed).getrandbits(63)  # noqa: S311 - not for secrets
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        random.seed(number)
        numpy.random.seed(number % 2**32)  # noqa: NPY002 - a user's network may draw from NumPy's global generator
        network = rebuild(described, pretrained=form.pretrained)
    if form.weights:
        load_weights(network, form.weights)
    return network


def _stated(form: Network) -> Preprocessing | None:
    """What a file of weights says of its network: in its header, as our exports do, or in `network.json` beside it."""
    if form.weights is None or not form.weights.endswith(".safetensors"):
        return None
    beside = Path(form.weights).parent / "network.json"
    facts = {key: json.loads(value) for key, value in read_metadata(form.weights).items() if key in STATED}
    if not facts and beside.is_file():
        facts = RunFolder(beside.parent).read(beside.name)
    if not all(key in facts for key in STATED):
        return None
    size = (facts["height"], facts["width"])
    return Preprocessing(tuple(facts["mean"]), tuple(facts["std"]), facts["channels"], size, tuple(facts["classes"]))


def _check_outputs(network: nn.Module, described: dict[str, Any], role: str) -> None:
    """Two blank images show whether a network takes this data and gives one number per class."""
    who, wanted = f"models.{role}: {described['name']}", len(described["classes"])
    images = torch.zeros(2, described["channels"], described["height"], described["width"], device=device_of(network))
    try:
        with evaluating(network):
            logits = network(images)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{who} cannot run on images of shape {list(images.shape)}: {error}") from error
    came = f"shape {list(logits.shape)}" if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
    if came != f"shape {[2, wanted]}":
        raise ModelError(
            f"{who} gives {came} for 2 images; expected logits of shape {[2, wanted]}, one for each of "
            f"{wanted} classes. If its outputs mean other classes, name them in order in models.{role}.classes"
        )


def _bridge_of(form: Network, role: str, dataset: Dataset, published: Preprocessing | None) -> dict[str, Any]:
    """Mean, std, channels and size that a network by name expects."""
    kind = form.normalize
    if kind == "auto":
        kind = "own" if published else "data"
    if kind == "own" and published is None:
        raise ModelError(
            f"models.{role}: normalize: own, but {form.name} states no preprocessing; expected data or figures"
        )
    source: Any = kind if isinstance(kind, Normalize) else published if kind == "own" else dataset
    channels = published.channels if published else dataset.channels
    size = published.size if published else (dataset.height, dataset.width)
    mean, std = ([], []) if kind == "none" else (list(source.mean), list(source.std))
    return {"mean": mean, "std": std, "channels": channels, "height": size[0], "width": size[1]}


def _from_run(upstream: Run, role: str, dataset: Dataset) -> Joined:
    """The delivered network of a finished run, on this run's data."""
    folder = RunFolder(upstream.folder)
    described = folder.read("network.json", keys=("name", "arguments", "count", *STATED))
    network = rebuild(described)
    folder.load_weights(network, "best")
    return _on(dataset, described, network, role, who=f"models.{role} (from {upstream.name})")


def _on(dataset: Dataset, described: dict[str, Any], network: nn.Module, role: str, *, who: str) -> Joined:
    """A network of a description on this data: its classes matched, its pixels bridged."""
    if described["channels"] == 1 < dataset.channels:
        raise ModelError(
            f"{who}: the network takes grey images, these have {dataset.channels} channels; "
            "set data.channels: 1 where the data set has that key, or take another network"
        )
    columns = match_classes(described["classes"], dataset.classes, who=who)
    return Joined(_bridged(network, described, columns), described, _notes(role, described, dataset))


def delivered(run: Run, dataset: Dataset) -> tuple[nn.Module, dict[str, str]]:
    """A finished run's selected student with its bridge, and what a file of it should say of itself.

    Raises:
        RunError: the run is not finished.
    """
    folder = RunFolder(run.folder)
    selected = folder.read("run.json", keys=("selected",))["selected"]
    joined = _from_run(run, "student", dataset)
    folder.load_weights(inner(joined.network), selected)
    metadata = {key: json.dumps((joined.description or {})[key]) for key in ("name", *STATED)}
    return joined.network, metadata | {"run": run.folder.name}


def rebuild(described: dict[str, Any], *, pretrained: bool = False) -> nn.Module:
    """The plain network of a description, with fresh (or published) weights."""
    return build(
        described["name"],
        described["arguments"],
        classes=described["count"],
        channels=described["channels"],
        height=described["height"],
        width=described["width"],
        pretrained=pretrained,
    )


def _bridged(network: nn.Module, described: dict[str, Any], columns: list[int] | None) -> Bridge:
    return Bridge(
        network,
        mean=described["mean"] or None,
        std=described["std"] or None,
        channels=described["channels"],
        size=(described["height"], described["width"]),
        columns=columns,
    )


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
            "Take a teacher that knows them, or leave these classes out of the data."
        )
    return [list(outputs).index(name) for name in classes]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")


def _notes(role: str, described: dict[str, Any], dataset: Dataset) -> list[str]:
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
            lambda: described["classes"] != list(dataset.classes),
            f"its {len(described['classes'])} outputs are matched by name with the {len(dataset.classes)} classes",
        ),
    ]
    return [f"{role}: {text}" for wanted, text in checks if wanted()]


def _alike(described: dict[str, Any], dataset: Dataset) -> bool:
    pairs = zip([*described["mean"], *described["std"]], [*dataset.mean, *dataset.std], strict=False)
    return all(abs(one - other) < 0.02 for one, other in pairs)
