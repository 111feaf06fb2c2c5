"""The figures of a finished run: its delivered networks, best and last, and its frozen ones, on the test split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from limbeck.core.assembled import leaves_early
from limbeck.core.files import write_json
from limbeck.core.net import digest
from limbeck.data.dataset import Dataset, Part
from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.classification import compare, measure
from limbeck.evaluate.cost import measure_cost
from limbeck.evaluate.exits import measure_exits
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.recipe.folder import EXITS, RunFolder, Which
from limbeck.recipe.schema import Recipe


def tested_part(dataset: Dataset) -> Part | None:
    """Where final figures come from: the test split; where the source has none, the validation split."""
    return dataset.test if dataset.test is not None else dataset.validation


def batches_of(part: Part, recipe: Recipe, device: torch.device) -> Iterable[Any]:
    """A part in order, as it is."""
    data = recipe.data
    how = {"workers": data.workers, "prefetch": data.prefetch, "pin_memory": data.pin_memory}
    return evaluation_batches(part, batch=recipe.evaluate.batch, device=device, **how)


class Measurement:
    """Measures the networks of a run and writes what it finds into the run's folder.

    Args:
        recipe: of the run.
        folder: of the run; holds the delivered weights.
        dataset: of the run.
        delivered: the run's networks as they are read from its files: the last one, and the best by validation.
        frozen: role -> network that taught; the first one is what students are compared with.
        device: where to run.
        known: role -> what its frozen network is known to give on the tested images.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        dataset: Dataset,
        *,
        delivered: Mapping[Which, nn.Module],
        frozen: Mapping[str, nn.Module],
        device: torch.device,
        known: Mapping[str, Predictions] | None = None,
    ) -> None:
        self._recipe, self._folder, self._dataset, self._device = recipe, folder, dataset, device
        self._delivered = {which: network.to(device) for which, network in delivered.items()}
        self._frozen = {role: net.to(device) for role, net in frozen.items()}
        self._known = dict(known or {})

    def write(self) -> None:
        """`evaluation.json`, `predictions-*.safetensors`, `costs.json`; of a network with early exits `exits.json`."""
        part = tested_part(self._dataset)
        evaluation = {} if part is None else self._evaluate(part)
        write_json(self._folder / "evaluation.json", evaluation)
        costs = {
            name: self._cost(network) for name, network in {**self._frozen, "student": self._delivered["best"]}.items()
        }
        network = self._delivered["best"]
        if part is not None and leaves_early(network):
            batches = batches_of(part, self._recipe, self._device)
            latency = self._recipe.evaluate.latency
            found = measure_exits(network, batches, run=self._recipe.task.run, latency=latency)
            write_json(self._folder / EXITS, found)
            costs["student"] = _mean_cost(costs["student"], found["early"])
        write_json(self._folder / "costs.json", costs)

    def _evaluate(self, part: Part) -> dict[str, dict[str, Any]]:
        taught = {role: self._known.get(role) or self._predict(net, part) for role, net in self._frozen.items()}
        first = next(iter(taught.values()), None)
        evaluation = {role: self._judge(role, found, teacher=None) for role, found in taught.items()}
        given: dict[str, Predictions] = {}
        for which, network in self._delivered.items():
            weights = digest(network)  # the best network is often the last one
            given[weights] = given.get(weights) or self._predict(network, part)
            evaluation[which] = self._judge(which, given[weights], teacher=first)
        return evaluation

    def _predict(self, network: nn.Module, part: Part) -> Predictions:
        return predict(network, batches_of(part, self._recipe, self._device), self._recipe.task.run)

    def _judge(self, name: str, predictions: Predictions, *, teacher: Predictions | None) -> dict[str, Any]:
        predictions.save(self._folder / f"predictions-{name}.safetensors")
        measured = measure(predictions, self._dataset.classes)
        return measured if teacher is None else measured | compare(predictions, teacher)

    def _cost(self, network: nn.Module) -> dict[str, Any]:
        part, wanted = tested_part(self._dataset) or self._dataset.train, self._recipe.evaluate
        count = min(max(wanted.latency_batches), len(part))
        images = next(iter(evaluation_batches(part.take(torch.arange(count)), batch=count))).images
        cost = measure_cost(network, images.to(self._device), repeats=50 if wanted.latency else 1)
        if not wanted.latency:
            cost["latency"] = []
        return {**cost, "weight_bytes": sum(t.numel() * t.element_size() for t in network.state_dict().values())}


def _mean_cost(cost: Mapping[str, Any], early: Mapping[str, Any]) -> dict[str, Any]:
    """What a network with early exits costs on a mean image, instead of on those that were timed.

    Half of its images may take one time and half another, so that a median would tell of one half only.
    """
    times = {"median_ms": early["mean_ms"], "p95_ms": early["p95_ms"]}
    latency = [{**timing, **times} if timing["batch"] == 1 else timing for timing in cost["latency"]]
    return {**cost, "flops": round(early["flops"]), "latency": latency}
