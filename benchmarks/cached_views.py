"""Whether a student learns as well from eight stored views of each image as from a teacher that runs live.

CIFAR-10, a subset of the training images, the whole test split. The teacher is trained on the same subset; the student
is distilled with crops and flips that are new in every epoch under the live teacher, and from 8 stored views, each of
which it sees three times. Everything through recipes and `limbeck run`, in bf16, with three seeds; a pair of trainings
with one seed starts from the same weights and sees the images in the same order. (Views are drawn under seed 0, so with
that seed the first eight epochs of both are the same pixels, and only the rest of the pair differs.)

The verdict is that of a paired t-test: "within noise" if the 95 % interval of the mean difference includes zero. Three
pairs give a wide interval, so it is printed too: it says how large a loss could have stayed hidden.

What is finished is reused, and what was interrupted goes on: the runs lie in `runs/cached_views`.

    LIMBECK_DATA=... python benchmarks/cached_views.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from machine import machine
from outcome import RESULTS, present_device, say, say_machine, write
from rich.console import Console
from rich.table import Table
from scipy import stats

from limbeck.cli.pipeline import experiment

WORK = Path(__file__).resolve().parents[1] / "runs" / "cached_views"
VIEWS, SEEDS, BATCH = 8, [0, 1, 2], 128
FULL = {
    "images": 10_000,
    "teacher": {"name": "resnet20"},
    "student": {"name": "resnet8"},
    "teacher_epochs": 24,
    "epochs": 24,
}
LITTLE = {"name": "mlp", "hidden": [32]}
QUICK = {"images": 1_000, "teacher": LITTLE, "student": LITTLE, "teacher_epochs": 2, "epochs": 9}
OPTIMIZER = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
WAYS: Mapping[str, dict[str, Any]] = {"live": {"name": "live"}, "cached": {"name": "cached", "views": VIEWS}}


def write_recipes(size: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Way -> its recipe; the teacher's lies beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher = _recipe(
        size, epochs=size["teacher_epochs"], models={"student": size["teacher"]}, method={"name": "supervised"}
    )
    (folder / "teacher.yaml").write_text(yaml.safe_dump(teacher, sort_keys=False), encoding="utf-8")
    models = {"teacher": {"from": "teacher.yaml"}, "student": size["student"]}
    paths = {}
    for way, outputs in WAYS.items():
        recipe = _recipe(size, epochs=size["epochs"], models=models, method={"name": "kd"})
        recipe["train"]["teacher_outputs"] = outputs
        paths[way] = folder / f"{way}.yaml"
        paths[way].write_text(yaml.safe_dump({**recipe, "seeds": SEEDS}, sort_keys=False), encoding="utf-8")
    return paths


def _recipe(
    size: Mapping[str, Any], *, epochs: int, models: Mapping[str, Any], method: Mapping[str, Any]
) -> dict[str, Any]:
    augment = {"crop": 4, "flip": True}
    data = {"name": "cifar10", "subset": size["images"], "validation": 0, "batch": BATCH, "augment": augment}
    schedule = {"name": "cosine", "warmup": "1 epochs"}
    return {
        "data": data,
        "models": dict(models),
        "method": dict(method),
        "train": {
            "length": f"{epochs} epochs",
            "optimizer": OPTIMIZER,
            "schedule": schedule,
            "precision": "bf16",
        },
        "evaluate": {"latency": False},
        "report": False,
    }


def measure(recipe: Path, runs: Path) -> dict[str, Any]:
    """Run a recipe unless it is finished, and read what its runs came to."""
    subprocess.run([sys.executable, "-m", "limbeck", "run", str(recipe), "--runs", str(runs)], check=True)
    folders = [run.folder for run in experiment(recipe, root=runs).runs]
    measured = [_read(folder / "evaluation.json") for folder in folders]
    accuracies = [found["last"]["accuracy"] for found in measured]
    return {
        "accuracy": accuracies,
        "mean": statistics.fmean(accuracies),
        "std": statistics.stdev(accuracies),
        "teacher_accuracy": measured[0]["teacher"]["accuracy"],
        "seconds": [_read(folder / "run.json")["seconds"] for folder in folders],
    }


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def compare(cached: Sequence[float], live: Sequence[float]) -> dict[str, Any]:
    """The paired differences cached - live, their mean, its standard error and its 95 % t interval."""
    differences = [one - other for one, other in zip(cached, live, strict=True)]
    mean, count = statistics.fmean(differences), len(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return {
        "differences": differences,
        "mean": mean,
        "standard_error": error,
        "interval": [mean - reach, mean + reach],
        "within_noise": abs(mean) <= reach,
    }


def show(found: Mapping[str, Any]) -> None:
    """The table and the verdict."""
    names = f"{found['student']['name']} under {found['teacher']['name']}"
    title = f"{names}: {found['images']} images, {found['epochs']} epochs"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("", *[f"seed {seed}" for seed in SEEDS], "mean ± std", "training, s"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for way, label in (("live", "live teacher"), ("cached", f"{VIEWS} stored views")):
        row = found[way]
        cells = [f"{one:.2%}" for one in row["accuracy"]]
        table.add_row(label, *cells, f"{row['mean']:.2%} ± {row['std']:.2%}", f"{statistics.fmean(row['seconds']):.0f}")
    paired = found["paired"]
    table.add_row("difference, points", *[f"{100 * one:+.2f}" for one in paired["differences"]], "", "")
    Console().print(table, highlight=False)
    low, high = (100 * end for end in paired["interval"])
    say(f"Teacher: {found['live']['teacher_accuracy']:.2%}. Accuracy on the whole test split.")
    verdict = "within noise" if paired["within_noise"] else "beyond noise"
    say(
        f"{VIEWS} stored views against the live teacher: {100 * paired['mean']:+.2f} points, 95 % interval "
        f"{low:+.2f} to {high:+.2f} ({len(SEEDS)} pairs, t): {verdict}."
    )


def main() -> None:
    """Train what is not trained yet, compare, print, write."""
    parser = argparse.ArgumentParser(description="Accuracy from stored views and under the live teacher.")
    parser.add_argument("--quick", action="store_true", help="tiny networks; nothing is written")
    quick = parser.parse_args().quick
    size, folder = (QUICK, WORK / "quick") if quick else (FULL, WORK)
    recipes, device = write_recipes(size, folder), present_device()
    found: dict[str, Any] = {**size, "views": VIEWS}
    found |= {way: measure(recipe, folder / "runs") for way, recipe in recipes.items()}
    found["paired"] = compare(found["cached"]["accuracy"], found["live"]["accuracy"])
    facts = machine(device)
    show(found)
    say_machine(facts)
    if not quick:
        write(RESULTS / f"cached_views-{device.type}.json", {"machine": facts, "found": found})


if __name__ == "__main__":
    main()
