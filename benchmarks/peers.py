"""The same distillation through limbeck, through the package torchdistill, and through the loop that tutorials teach.

Each is a process of its own, timed from its start to its end: reading the data, training, the test. The same networks
with the same weights to start from, the same images in as many batches, the same loss, the same optimiser:

    limbeck, fp32 and bf16    a recipe and `limbeck run`, without report and timings
    torchdistill              its public interface; installed into an environment of its own (see `peers/`)
    tutorial loop             float32, a DataLoader of PIL images with 2 workers, `.item()` at every step

They take turns; the order is reversed from round to round. What each delivers is tested here, by one function. The
teacher is trained first, through limbeck; neither that nor the installation is timed. torchdistill's teacher stays in
training mode: that is what it publishes, so it is reported and not repaired.

    LIMBECK_DATA=... python benchmarks/peers.py [--quick] [--only mlp-mnist] [--rounds 1]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from machine import machine
from rich.console import Console
from rich.table import Table

from limbeck.core.bridge import Bridge
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.dataset import Dataset
from limbeck.data.idx import Mnist
from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.predictions import predict
from limbeck.models.build import build
from limbeck.models.weights import load_weights, save_weights

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS, SCRIPTS = HERE / "results", HERE / "peers"
WORK = ROOT / "runs" / "peers"
PACKAGES = ("torchdistill==1.1.5", "torch==2.14.1", "torchvision==0.29.2", "jaxtyping", "pydantic", "safetensors")
"""Of torchdistill's environment; the last three are what limbeck's networks import."""
SETTINGS = {"temperature": 4.0, "hard_weight": 0.1, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
SEED, BATCH, WORKERS = 0, 128, 2


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
        teacher: name and arguments.
        student: name and arguments.
        full: size of a whole run.
        quick: size of a quick one.
    """

    name: str
    data: type[Mnist] | type[Cifar10]
    augment: Mapping[str, Any]
    teacher: Mapping[str, Any]
    student: Mapping[str, Any]
    full: Size
    quick: Size


CASES = (
    Case(
        "mlp-mnist",
        Mnist,
        {},
        {"name": "mlp", "hidden": [1200, 1200]},
        {"name": "mlp", "hidden": [800, 800]},
        full=Size(60000, epochs=10, teacher_epochs=10),
        quick=Size(10000, epochs=4, teacher_epochs=4),
    ),
    Case(
        "resnet20-cifar10",
        Cifar10,
        {"crop": 4, "flip": True},
        {"name": "resnet56"},
        {"name": "resnet20"},
        full=Size(50000, epochs=4, teacher_epochs=20),
        quick=Size(2048, epochs=2, teacher_epochs=4),
    ),
)


@dataclass(frozen=True)
class Way:
    """One of the ways to do the job.

    Args:
        name: in the table.
        command: folder of the job -> what is run.
        weights: folder of the job -> where it left the student.
        record: folder of the job -> the JSON file in which it left the `seconds` of the training alone.
        environment: added to that of the process.
    """

    name: str
    command: Callable[[Path], list[str]]
    weights: Callable[[Path], Path]
    record: Callable[[Path], Path]
    environment: Mapping[str, str]


def limbeck_way(precision: str) -> Way:
    """`limbeck run`."""

    def command(folder: Path) -> list[str]:
        runs = folder / f"limbeck-{precision}"
        shutil.rmtree(runs, ignore_errors=True)
        asked = ["--quiet", "--runs", str(runs), "--set", f"train.precision={precision}"]
        return [sys.executable, "-m", "limbeck", "run", str(folder / "recipe.yaml"), *asked]

    def left(folder: Path, name: str) -> Path:
        (found,) = (folder / f"limbeck-{precision}").rglob(name)
        return found

    return Way(
        f"limbeck, {precision}",
        command,
        weights=lambda folder: left(folder, "student-last.safetensors"),
        record=lambda folder: left(folder, "run.json"),
        environment={},
    )


def script_way(name: str, script: str, python: Path, environment: Mapping[str, str]) -> Way:
    """A script of `peers/`."""
    return Way(
        name,
        lambda folder: [str(python), str(SCRIPTS / f"{script}.py"), str(folder)],
        weights=lambda folder: folder / f"{script}.pt",
        record=lambda folder: folder / f"{script}.json",
        environment=environment,
    )


def torchdistill_python() -> Path:
    """The interpreter of torchdistill's own environment, which is made if there is none."""
    folder = WORK / "torchdistill"
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
        done = subprocess.run([*pip, *PACKAGES], check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"torchdistill cannot be installed:\n{done.stderr[-2000:]}")
        (folder / "ready").touch()
    return python


def prepare(case: Case, size: Size, folder: Path) -> Dataset:
    """Write the job and both recipes, train the teacher, draw the student's first weights."""
    folder.mkdir(parents=True, exist_ok=True)
    data = case.data(validation=0, batch=BATCH, subset=size.images, augment=Augment(**case.augment))
    dataset = data.load()
    _write_images(dataset, folder / "images.npz")
    shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
    job = {
        **{role: {"name": form["name"], "arguments": _arguments(form)} for role, form in _roles(case).items()},
        **SETTINGS,
        "classes": len(dataset.classes),
        "shape": shape,
        "mean": dataset.mean,
        "std": dataset.std,
        "augment": dict(case.augment),
        "batch": BATCH,
        "epochs": size.epochs,
        "seed": SEED,
        "workers": WORKERS,
    }
    (folder / "job.json").write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")
    torch.manual_seed(SEED)
    save_weights(_network(case.student, dataset).network, folder / "student.safetensors")
    _train_teacher(case, size, folder)
    models = {role: {**form, "weights": str(folder / f"{role}.safetensors")} for role, form in _roles(case).items()}
    method = {"name": "kd", "temperature": SETTINGS["temperature"], "hard_weight": SETTINGS["hard_weight"]}
    _write_recipe(
        case, size, folder / "recipe.yaml", models=models, method=method, epochs=size.epochs, schedule="constant"
    )
    return dataset


def _roles(case: Case) -> dict[str, Mapping[str, Any]]:
    return {"teacher": case.teacher, "student": case.student}


def _arguments(form: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in form.items() if key != "name"}


def _write_images(dataset: Dataset, path: Path) -> None:
    arrays = {}
    for split, part in (("train", dataset.train), ("test", dataset.test)):
        assert part is not None
        pixels = part.pixels_at(torch.arange(len(part))).permute(0, 2, 3, 1)
        arrays[f"{split}_images"] = (pixels[..., 0] if pixels.shape[3] == 1 else pixels).contiguous().numpy()
        arrays[f"{split}_labels"] = part.labels.numpy()
    np.savez(path, **arrays)


def _train_teacher(case: Case, size: Size, folder: Path) -> None:
    recipe, kept = folder / "teacher.yaml", folder / "teacher.safetensors"
    models = {"student": dict(case.teacher)}
    _write_recipe(
        case, size, recipe, models=models, method={"name": "supervised"}, epochs=size.teacher_epochs, schedule="cosine"
    )
    command = [sys.executable, "-m", "limbeck", "run", str(recipe), "--quiet", "--runs", str(folder / "teacher")]
    subprocess.run([*command, "--set", "train.precision=bf16"], check=True, capture_output=True)
    (found,) = (folder / "teacher").rglob("student-last.safetensors")
    shutil.copyfile(found, kept)


def _write_recipe(
    case: Case,
    size: Size,
    path: Path,
    *,
    models: Mapping[str, Any],
    method: Mapping[str, Any],
    epochs: int,
    schedule: str,
) -> None:
    optimizer = {"name": "sgd", **{key: SETTINGS[key] for key in ("lr", "momentum", "weight_decay")}}
    data = {
        "name": case.data.title,
        "subset": size.images,
        "validation": 0,
        "batch": BATCH,
        "augment": dict(case.augment),
    }
    recipe = {
        "data": data,
        "models": dict(models),
        "method": dict(method),
        "train": {"length": f"{epochs} epochs", "optimizer": optimizer, "schedule": {"name": schedule}, "seed": SEED},
        "evaluate": {"latency": False},
        "report": False,
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")


def _network(form: Mapping[str, Any], dataset: Dataset) -> Bridge:
    shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
    plain = build(form["name"], _arguments(form), classes=len(dataset.classes), **shape)
    return Bridge(plain, mean=dataset.mean, std=dataset.std)


def tested(form: Mapping[str, Any], weights: Path, dataset: Dataset) -> float:
    """Accuracy on the test split of what a process delivered."""
    network = _network(form, dataset)
    load_weights(network.network, weights)
    assert dataset.test is not None
    found = predict(network, evaluation_batches(dataset.test))
    return round((found.logits.argmax(1) == found.labels).double().mean().item(), 4)


def timed(way: Way, folder: Path) -> tuple[float, float]:
    """Seconds of the whole process, and of its training alone; what it printed is kept in the job's folder."""
    log = folder / f"{way.name.replace(', ', '-').replace(' ', '-')}.log"
    environment = {**os.environ, **way.environment}
    with log.open("w", encoding="utf-8") as output:
        command = way.command(folder)
        began = time.perf_counter()
        done = subprocess.run(command, check=False, stdout=output, stderr=subprocess.STDOUT, env=environment)
        seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{way.name} failed:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return seconds, json.loads(way.record(folder).read_text(encoding="utf-8"))["seconds"]


def measure(case: Case, size: Size, ways: list[Way], *, rounds: int, console: Console) -> dict[str, Any]:
    """One case, every way, in turns."""
    folder = WORK / f"{case.name}-{size.images}-{size.teacher_epochs}"
    with console.status(f"{case.name}: training the teacher"):
        dataset = prepare(case, size, folder)
    seconds: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for number in range(rounds):
        for way in ways[:: -1 if number % 2 else 1]:
            with console.status(f"{case.name}, round {number + 1} of {rounds}: {way.name}"):
                seconds[way.name].append(timed(way, folder))
    images = size.images // BATCH * BATCH * size.epochs
    rows = [_row(way, seconds[way.name], images, tested(case.student, way.weights(folder), dataset)) for way in ways]
    before = tested(case.teacher, folder / "teacher.safetensors", dataset)
    after = tested(case.teacher, folder / "through_torchdistill-teacher.pt", dataset)
    return {
        "case": case.name,
        "batch": BATCH,
        "rounds": rounds,
        **asdict(size),
        "ways": rows,
        "teacher_accuracy": before,
        "teacher_accuracy_after_torchdistill": after,
    }


def _row(way: Way, seconds: list[tuple[float, float]], images: int, accuracy: float) -> dict[str, Any]:
    whole, training = (statistics.median(times) for times in zip(*seconds, strict=True))
    return {
        "way": way.name,
        "seconds": round(whole, 2),
        "all_seconds": [round(one, 2) for one, _ in seconds],
        "training_seconds": round(training, 2),
        "images_per_second": round(images / whole, 1),
        "training_images_per_second": round(images / training, 1),
        "accuracy": accuracy,
    }


def show(found: Mapping[str, Any], console: Console) -> None:
    """The table of a case."""
    title = f"{found['case']}: {found['images']} images, {found['epochs']} epochs, batch {found['batch']}"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    peers = [row for row in found["ways"] if not row["way"].startswith("limbeck")]
    whole, training = "images_per_second", "training_images_per_second"
    fastest = {key: max(row[key] for row in peers) for key in (whole, training)}
    for heading in ("process, s", "images/s", "ratio", "training, s", "images/s", "ratio", "test accuracy"):
        table.add_column(heading, justify="right")
    for row in found["ways"]:
        cells = [f"{row['seconds']:.1f}", f"{row[whole]:.0f}", f"{row[whole] / fastest[whole]:.2f}"]
        cells += [f"{row['training_seconds']:.1f}", f"{row[training]:.0f}", f"{row[training] / fastest[training]:.2f}"]
        table.add_row(row["way"], *cells, f"{row['accuracy']:.2%}")
    console.print(table, highlight=False)
    console.print(
        "Ratios are to the faster of the two others. "
        f"Teacher: {found['teacher_accuracy']:.2%} before; {found['teacher_accuracy_after_torchdistill']:.2%} after "
        "torchdistill, which leaves it in training mode.\n",
        highlight=False,
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="The same job through limbeck, torchdistill and a tutorial's loop.")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one case; nothing is written")
    parser.add_argument("--quick", action="store_true", help="on subsets; the accuracies only show that it runs")
    parser.add_argument("--rounds", type=int, default=1, help="of each way")
    asked = parser.parse_args()
    console = Console()
    with console.status("installing torchdistill into its own environment"):
        theirs = torchdistill_python()
    source = {"PYTHONPATH": str(ROOT / "src")}
    ways = [
        limbeck_way("bf16"),
        limbeck_way("fp32"),
        script_way("torchdistill", "through_torchdistill", theirs, source),
        script_way("tutorial loop", "tutorial_loop", Path(sys.executable), {}),
    ]
    found = []
    for case in CASES:
        if asked.only in (None, case.name):
            size = case.quick if asked.quick else case.full
            found.append(measure(case, size, ways, rounds=asked.rounds, console=console))
            show(found[-1], console)
    facts = {**machine(torch.device("cpu")), "torchdistill": "1.1.5"}
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
    if asked.only is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"peers{'-quick' if asked.quick else ''}-cpu.json"
        path.write_text(json.dumps({"machine": facts, "cases": found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
