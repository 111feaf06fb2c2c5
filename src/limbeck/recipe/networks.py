"""Networks of a run, joined to its data: built, loaded, normalised, sized, and with their classes matched by name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy
import torch
from torch import nn

from limbeck.adapters.ensemble import Ensemble as EnsembleNetwork
from limbeck.adapters.specialists import Specialists as SpecialistsNetwork
from limbeck.core.errors import ModelError
from limbeck.data.dataset import Dataset
from limbeck.evaluate.mode import device_of, evaluating
from limbeck.models.heads import refit_head
from limbeck.models.own_code import line_of
from limbeck.models.preprocessing import Preprocessing, preprocessing_of
from limbeck.models.weights import load_weights, read_metadata
from limbeck.recipe.bridging import Joined, Knows, put_on
from limbeck.recipe.descriptions import STATED, Description, assembled, rebuild
from limbeck.recipe.folder import RunFolder, Which
from limbeck.recipe.graph import Run
from limbeck.recipe.models import Ensemble, From, Network, Normalize, Specialists, members_of

Untrained = Callable[[Run], Description]


def join(run: Run, role: str, dataset: Dataset, *, frozen: bool, untrained: Untrained | None = None) -> Joined:
    """The network of a role.

    Args:
        run: whose recipe names it; the runs before it are finished.
        role: in `models`.
        dataset: of the run.
        frozen: a frozen network must have weights from somewhere.
        untrained: absent = the runs before this one are finished; otherwise how the network of one that is not will be
            built, which is then looked at without training.

    Raises:
        ModelError: it cannot be built, has no weights though it is to teach, or lacks classes of the data.
    """
    form = run.recipe.models[role]
    if isinstance(form, Network | From):
        return _member(run, form, role, dataset, frozen=frozen, untrained=untrained)
    if not frozen:
        raise ModelError(f"models.{role}: an ensemble can teach, but it cannot be trained; give one network")
    members = [
        _member(run, member, key, dataset, frozen=True, untrained=untrained, knows=_knows(form, key))
        for key, member in members_of(form, role).items()
    ]
    notes = list(dict.fromkeys(note for member in members for note in member.notes))
    networks = [member.network for member in members]
    if isinstance(form, Ensemble):
        parts = {str(number): member.description or {} for number, member in enumerate(members)}
        network = EnsembleNetwork(networks, mean=form.mean)
        return Joined(network, assembled(EnsembleNetwork, network.facts(), parts, dataset), notes)
    subsets = [_subset(member.description or {}, dataset) for member in members[1:]]
    return Joined(SpecialistsNetwork(networks[0], networks[1:], subsets=subsets, top=form.top), None, notes)


def _knows(form: Ensemble | Specialists, key: str) -> Knows:
    return "some" if isinstance(form, Specialists) and not key.endswith(".generalist") else "all"


def _subset(described: dict[str, Any], dataset: Dataset) -> list[int]:
    """The numbers of a specialist's classes."""
    return [dataset.classes.index(name) for name in described["classes"][:-1]]


def _member(
    run: Run,
    form: Network | From,
    role: str,
    dataset: Dataset,
    *,
    frozen: bool,
    untrained: Untrained | None,
    knows: Knows = "all",
) -> Joined:
    if isinstance(form, From):
        upstream = run.upstream[role]
        if untrained is None or RunFolder(upstream.folder).state == "finished":
            described, network = _from_run(upstream)
        else:
            described = untrained(upstream)
            network = rebuild(described)
        if form.head == "refitted":
            if "assembled" in described:
                raise ModelError(
                    f"models.{role} (from {upstream.name}): head: refitted replaces the last layer of a plain network, "
                    f"and this one is made of several ({described['name']}); take one that is delivered alone"
                )
            described = _refitted(network, described, dataset, seed=f"{run.seed}/{role}")
        joined = put_on(dataset, described, network, role, who=f"models.{role} (from {upstream.name})", knows=knows)
        if frozen and _begin_alike(run, upstream):
            joined.notes.append(
                f"{role}: it has the student's form and seed, so the student begins with the weights with which it "
                "began itself; give it another seed"
            )
        return joined
    if frozen and not (form.pretrained or form.weights or ":" in form.name):
        raise ModelError(
            f"models.{role}: {form.name} is to teach but has no weights; give it `from: recipe.yaml`, "
            "`weights: file.safetensors` or `pretrained: true`"
        )
    return _by_name(form, run.seed, role, dataset, frozen=frozen, knows=knows)


def _begin_alike(run: Run, upstream: Run) -> bool:
    """Whether the students of two runs have the same first weights."""
    own, other = (one.recipe.models.get("student") for one in (run, upstream))
    return isinstance(own, Network) and own == other and run.seed == upstream.seed


def _by_name(form: Network, seed: int, role: str, dataset: Dataset, *, frozen: bool, knows: Knows) -> Joined:
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
    joined = put_on(dataset, described, network, role, who=f"models.{role}", knows=knows)
    if frozen and not (form.pretrained or form.weights):
        joined.notes.append(f"{role}: no weights are given, so it teaches what {form.name} itself put into it")
    if form.weights and stated is None and form.normalize == "auto":
        joined.notes.append(
            f"{role}: {Path(form.weights).name} does not say on which images its network was trained; it gets this "
            "data's size, mean and deviation. If it knew others, give normalize: {mean: [...], std: [...]}"
        )
    return joined


def _seeded(described: dict[str, Any], form: Network, seed: str) -> nn.Module:
    """The network with its first weights, whichever generator its code draws them from."""
    with _seeded_by(seed):
        network = rebuild(described, pretrained=form.pretrained)
    if form.weights:
        load_weights(network, form.weights)
    return network


@contextmanager
def _seeded_by(text: str) -> Iterator[None]:
    """Every generator that code may draw initial weights from begins at a number that follows from the text."""
    number = Random(text).getrandbits(63)  # noqa: S311 - not for secrets
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        random.seed(number)
        numpy.random.seed(number % 2**32)  # noqa: NPY002 - a user's network may draw from NumPy's global generator
        yield


def _refitted(network: nn.Module, described: dict[str, Any], dataset: Dataset, *, seed: str) -> dict[str, Any]:
    """Give a network the data's classes, in place; how to build it again."""
    with _seeded_by(seed):
        refit_head(network, before=described["classes"], after=dataset.classes)
    return {**described, "count": len(dataset.classes), "classes": list(dataset.classes)}


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
        shape = list(images.shape)
        raise ModelError(f"{who} cannot run on images of shape {shape}: {error}{line_of(error)}") from error
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


def _from_run(run: Run, which: Which = "best") -> tuple[dict[str, Any], nn.Module]:
    """A delivered network of a finished run, and how to build it."""
    folder = RunFolder(run.folder)
    described = folder.described(which, keys=("name", "arguments", "count", *STATED))
    network = rebuild(described)
    folder.load_weights(network, which)
    return described, network


def delivered(run: Run, dataset: Dataset, which: Which | None = None) -> tuple[nn.Module, dict[str, str]]:
    """A delivered network of a run with its bridge, and what a file of it should say of itself.

    Args:
        run: has saved its networks.
        dataset: of the run.
        which: absent = the one that the finished run selected.

    Raises:
        RunError: the run is not finished.
    """
    folder = RunFolder(run.folder)
    chosen = which or folder.read("run.json", keys=("selected",))["selected"]
    joined = put_on(dataset, *_from_run(run, chosen), "student", who=f"models.student (from {run.name})")
    metadata = {key: json.dumps((joined.description or {})[key]) for key in ("name", *STATED)}
    return joined.network, metadata | {"run": run.folder.name}
