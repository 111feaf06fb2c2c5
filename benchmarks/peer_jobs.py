"""The jobs of `peers.py`: networks, data, sizes; and a folder for each with what every way needs.

    job.json, images.npz, teacher.safetensors, student.safetensors    see `peers/job.py`
    teacher.yaml, recipe.yaml                                         the same for limbeck
    teacher/                                                          the teacher's run

The teacher is trained by limbeck, once: its run is found again by its hash.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from limbeck.cli.pipeline import experiment
from limbeck.core.bridge import Bridge
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.dataset import Dataset
from limbeck.data.idx import Mnist
from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.predictions import predict
from limbeck.models.build import build
from limbeck.models.weights import load_weights, save_weights

SETTINGS = {"temperature": 4.0, "hard_weight": 0.1, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
SEED, BATCH, WORKERS = 0, 128, 2
TEACHER_PRECISION = "bf16"


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Args:
        images: of the training set.
        epochs: of the student.
        teacher_epochs: before, not timed.
    """

    images: int
    epochs: int
    teacher_epochs: int


@dataclass(frozen=True)
class Case:
    """A pair of networks on a data set.

    Args:
        name: in the table.
        data: kind of the data set.
        augment: of the training images.
        views: of each image for which the teacher's outputs are stored; 0 = the image as it is.
        teacher: name and arguments.
        student: name and arguments.
        full: size of a whole run.
        quick: size of a quick one.
    """

    name: str
    data: type[Mnist] | type[Cifar10]
    augment: Mapping[str, Any]
    views: int
    teacher: Mapping[str, Any]
    student: Mapping[str, Any]
    full: Size
    quick: Size

    @property
    def roles(self) -> dict[str, Mapping[str, Any]]:
        """Role -> its network."""
        return {"teacher": self.teacher, "student": self.student}


CASES = {
    case.name: case
    for case in (
        Case(
            "mlp-mnist",
            Mnist,
            {},
            0,
            {"name": "mlp", "hidden": [1200, 1200]},
            {"name": "mlp", "hidden": [800, 800]},
            full=Size(60000, epochs=10, teacher_epochs=10),
            quick=Size(5120, epochs=2, teacher_epochs=2),
        ),
        Case(
            "resnet20-cifar10",
            Cifar10,
            {"crop": 4, "flip": True},
            8,
            {"name": "resnet56"},
            {"name": "resnet20"},
            full=Size(50000, epochs=3, teacher_epochs=6),
            quick=Size(512, epochs=2, teacher_epochs=1),
        ),
    )
}


def prepare(case: Case, size: Size, folder: Path, *, seed: int = SEED, teachers: Path | None = None) -> Dataset:
    """Write the job and both recipes, train the teacher unless it is there, draw the student's first weights.

    Args:
        case: which job.
        size: how much of it.
        folder: of the job.
        seed: of the student's first weights and of the order of the images.
        teachers: where the teacher's run lies; absent = in the job's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = case.data(validation=0, batch=BATCH, subset=size.images, augment=Augment(**case.augment))
    dataset = data.load()
    _write_images(dataset, folder / "images.npz")
    _write_job(case, size, dataset, folder / "job.json", seed=seed)
    torch.manual_seed(seed)
    save_weights(network_of(case.student, dataset).network, folder / "student.safetensors")
    _train_teacher(case, size, folder, teachers or folder / "teacher")
    models = {role: {**form, "weights": str(folder / f"{role}.safetensors")} for role, form in case.roles.items()}
    method = {"name": "kd", "temperature": SETTINGS["temperature"], "hard_weight": SETTINGS["hard_weight"]}
    recipe = _recipe(case, size, models=models, method=method, epochs=size.epochs, schedule="constant")
    if case.data is Cifar10:
        _write_binary(folder / "images.npz", dataset.classes, folder / "cifar-10-batches-bin")
        recipe["data"]["root"] = str(folder)
    recipe["evaluate"]["batch"], recipe["train"]["seed"] = BATCH, seed
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return dataset


def _write_images(dataset: Dataset, path: Path) -> None:
    arrays = {}
    for split, part in (("train", dataset.train), ("test", dataset.test)):
        assert part is not None
        pixels = part.pixels_at(torch.arange(len(part))).permute(0, 2, 3, 1)
        arrays[f"{split}_images"] = (pixels[..., 0] if pixels.shape[3] == 1 else pixels).contiguous().numpy()
        arrays[f"{split}_labels"] = part.labels.numpy()
    np.savez(path, **arrays)


def _write_binary(images: Path, classes: Sequence[str], folder: Path) -> None:
    """CIFAR-10's own binary layout: like the others, limbeck need not decode a JPEG for every image first."""
    folder.mkdir(exist_ok=True)
    arrays = np.load(images)
    for split, names in (
        ("train", [f"data_batch_{number}.bin" for number in range(1, 6)]),
        ("test", ["test_batch.bin"]),
    ):
        planes = arrays[f"{split}_images"].transpose(0, 3, 1, 2).reshape(len(arrays[f"{split}_labels"]), -1)
        records = np.concatenate([arrays[f"{split}_labels"][:, None].astype(np.uint8), planes], axis=1)
        for name, part in zip(names, np.array_split(records, len(names)), strict=True):
            (folder / name).write_bytes(part.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")


def _write_job(case: Case, size: Size, dataset: Dataset, path: Path, *, seed: int) -> None:
    job = {
        **{role: {"name": form["name"], "arguments": _arguments(form)} for role, form in case.roles.items()},
        **SETTINGS,
        "classes": len(dataset.classes),
        "shape": _shape(dataset),
        "mean": dataset.mean,
        "std": dataset.std,
        "augment": dict(case.augment),
        "batch": BATCH,
        "epochs": size.epochs,
        "seed": seed,
        "workers": WORKERS,
    }
    path.write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")


def _train_teacher(case: Case, size: Size, folder: Path, runs: Path) -> None:
    recipe = folder / "teacher.yaml"
    models, method = {"student": dict(case.teacher)}, {"name": "supervised"}
    plain = _recipe(case, size, models=models, method=method, epochs=size.teacher_epochs, schedule="cosine")
    recipe.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    precision = f"train.precision={TEACHER_PRECISION}"
    command = [sys.executable, "-m", "limbeck", "run", str(recipe), "--quiet", "--runs", str(runs), "--set", precision]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the teacher of {case.name} cannot be trained:\n{done.stderr[-2000:]}")
    found = experiment(recipe, [precision], root=runs).folder / "student-last.safetensors"
    shutil.copyfile(found, folder / "teacher.safetensors")


def _recipe(
    case: Case, size: Size, *, models: Mapping[str, Any], method: Mapping[str, Any], epochs: int, schedule: str
) -> dict[str, Any]:
    optimizer = {"name": "sgd", **{key: SETTINGS[key] for key in ("lr", "momentum", "weight_decay")}}
    data = {
        "name": case.data.title,
        "subset": size.images,
        "validation": 0,
        "batch": BATCH,
        "augment": dict(case.augment),
    }
    return {
        "data": data,
        "models": dict(models),
        "method": dict(method),
        "train": {"length": f"{epochs} epochs", "optimizer": optimizer, "schedule": {"name": schedule}, "seed": SEED},
        "evaluate": {"latency": False},
        "report": False,
    }


def _arguments(form: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in form.items() if key != "name"}


def _shape(dataset: Dataset) -> dict[str, int]:
    return {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}


def network_of(form: Mapping[str, Any], dataset: Dataset) -> Bridge:
    """A network with fresh weights, behind the data set's normalisation."""
    plain = build(form["name"], _arguments(form), classes=len(dataset.classes), **_shape(dataset))
    return Bridge(plain, mean=dataset.mean, std=dataset.std)


def tested(form: Mapping[str, Any], weights: Path, dataset: Dataset) -> float:
    """Accuracy on the test split of what a process delivered."""
    network = network_of(form, dataset)
    load_weights(network.network, weights)
    assert dataset.test is not None
    found = predict(network, evaluation_batches(dataset.test))
    return round((found.logits.argmax(1) == found.labels).double().mean().item(), 4)
