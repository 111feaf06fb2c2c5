"""Results of networks that are really trained, in seconds: what the report's tests and screenshots look at."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.method import Method
from limbeck.data.batches import ImageBatch
from limbeck.data.dataset import Dataset, InMemory, channel_statistics
from limbeck.data.digits import Digits
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.evaluate.classification import compare, measure
from limbeck.evaluate.cost import file_bytes, measure_cost
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.export.safetensors import export
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.models.mlp import mlp
from limbeck.recipe.results import Entry, Results, Role
from limbeck.tasks.classification import Classification
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Train

KD_METHOD = KD(temperature=4.0, hard_weight=0.1)


class Workshop:
    """Trains perceptrons on a data set.

    Args:
        dataset: with validation or without.
        folder: for the runs.
        epochs: of every training.
        teacher: hidden units of the teacher.
        student: hidden units of the student.
        rate: the learning rate.
    """

    def __init__(
        self,
        dataset: Dataset,
        folder: Path,
        *,
        epochs: int = 8,
        teacher: int = 128,
        student: int = 8,
        rate: float = 0.1,
    ) -> None:
        self.dataset, self.folder, self.epochs, self.rate = dataset, folder, epochs, rate
        self.hidden: dict[Role, int] = {"teacher": teacher, "alone": student, "distilled": student, "trained": student}

    def results(self, *, seeds: Sequence[int], roles: Sequence[Role] = ("teacher", "alone", "distilled")) -> Results:
        """Train every role: the teacher once, the others once per seed."""
        entries, teacher = list[Entry](), None
        if "teacher" in roles:
            entry, teacher = self.trained("teacher", seed=0, teacher=None)
            entries.append(entry)
        for role in roles[len(entries) :]:
            entries += [self.trained(role, seed=seed, teacher=teacher)[0] for seed in seeds]
        known = [entry.predictions for entry in entries if entry.role == "teacher"]
        if known:
            entries = [self._compared(entry, known[0]) for entry in entries]
        return Results(
            title=f"{self.dataset.description['name']}/kd",
            recipe=self._recipe(roles),
            classes=self.dataset.classes,
            dataset=self.dataset,
            entries=entries,
            exports=[self._exported()],
            versions={"torch": torch.__version__, "python": "3", "device": "cpu", "threads": "1"},
            notes=["teacher: it keeps the normalisation it was trained with"] if known else [],
        )

    def trained(self, role: Role, *, seed: int, teacher: nn.Module | None) -> tuple[Entry, nn.Module]:
        """One network, trained and measured."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self._network(role)
        method: Method = KD_METHOD if role == "distilled" else Supervised()
        models = {"student": network} | ({"teacher": teacher} if role == "distilled" and teacher is not None else {})
        loader = Loader(self.dataset.train, batch=64, seed=seed, classes=len(self.dataset.classes))
        example = next(loader.batches())[0]
        distiller = Distiller(method, Classification(), models, example, seed=seed)
        folder = self.folder / f"{role}-{seed}"
        settings = Train(length=f"{self.epochs} epochs", optimizer=SGD(lr=self.rate), seed=seed, log="4 steps")
        fitted = fit(distiller, loader, settings, folder=folder, validation=self._validation(), progress=False)
        distiller.close()
        self.network = network
        return self._measured(role, seed, network, folder, fitted.seconds), network

    def _network(self, role: Role) -> nn.Module:
        dataset = self.dataset
        shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
        plain = mlp(classes=len(dataset.classes), hidden=[self.hidden[role]], **shape)
        return Bridge(plain, mean=dataset.mean, std=dataset.std)

    def _validation(self) -> Iterable[ImageBatch] | None:
        part = self.dataset.validation
        return None if part is None else list(evaluation_batches(part))

    def _measured(self, role: Role, seed: int, network: nn.Module, folder: Path, seconds: float) -> Entry:
        assert self.dataset.test is not None
        predictions = predict(network, evaluation_batches(self.dataset.test))
        measured = measure(predictions, self.dataset.classes)
        example = next(iter(evaluation_batches(self.dataset.test, batch=64))).images
        cost = measure_cost(network, example, repeats=5)
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return Entry(
            role=role,
            network="mlp",
            seed=seed,
            folder=folder,
            metrics={name: value for name, value in measured.items() if name not in ("per_class", "samples")},
            per_class=measured["per_class"],
            cost={**cost, "weight_bytes": file_bytes(folder / "student-last.safetensors")},
            predictions=predictions,
            curves=[json.loads(line) for line in lines],
            seconds=seconds,
            selected="last",
        )

    def _compared(self, entry: Entry, teacher: Predictions) -> Entry:
        if entry.role == "teacher":
            return entry
        return dataclasses.replace(entry, metrics={**entry.metrics, **compare(entry.predictions, teacher)})

    def _exported(self) -> Mapping[str, Any]:
        assert self.dataset.test is not None
        samples = next(iter(evaluation_batches(self.dataset.test, batch=64))).images
        exported = export(self.network, self.folder / "student.safetensors", samples)
        return {**dataclasses.asdict(exported), "path": str(exported.path)}

    def _recipe(self, roles: Sequence[Role]) -> Mapping[str, Any]:
        method = (
            {"name": "kd", "temperature": 4.0, "hard_weight": 0.1} if "distilled" in roles else {"name": "supervised"}
        )
        return {
            "task": {"name": "classification", "label_smoothing": 0.0},
            "data": {"name": self.dataset.description["name"], "batch": 64},
            "models": {"student": {"name": "mlp", "hidden": [self.hidden["distilled"]]}},
            "method": method,
            "train": {"length": f"{self.epochs} epochs", "optimizer": {"name": "sgd", "lr": self.rate}},
        }


def digits(**settings: Any) -> Dataset:
    """scikit-learn's digits: real, grey, ten classes, no download."""
    return Digits(**settings).load()


def hundred(*, per_class: int = 12) -> Dataset:
    """A hundred classes of coloured 8x8 images, each a colour pattern under noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(100, 3, 8, 8, generator=generator)
    make = partial(_noisy, patterns, generator, per_class=per_class)
    train, validation, test = make(first=0), make(first=10_000), make(first=20_000)
    mean, std = channel_statistics(train)
    names = tuple(f"pattern <{number}>" for number in range(100))
    return Dataset(train, validation, test, names, mean, std, {"name": "patterns"})


def _noisy(patterns: torch.Tensor, generator: torch.Generator, *, per_class: int, first: int) -> InMemory:
    labels = torch.arange(100).repeat(per_class)
    noise = torch.randn(len(labels), 3, 8, 8, generator=generator)
    pixels = (patterns[labels] + 0.8 * noise).clamp(0, 1).mul(255).to(torch.uint8)
    return InMemory(pixels, labels, torch.arange(first, first + len(labels)))
