"""What it does to a student when the "frozen" teacher is left in training mode, as some toolkits do.

A teacher in training mode normalises each image by its batch, and its running statistics go on moving, so it ends as
another network than it was. The same loop, written by hand, is run both ways on CIFAR-10's job of `peers.py`: same
teacher, first weights, images in the same order, in bf16. Over seeds, untimed, two trainings at a time with one thread
each. Printed are the students' test accuracies, their paired difference with the verdict of a t-test, and how accurate
the teacher still is, in evaluation mode, after it has taught.

What is finished is kept beside the trainings of `peer_accuracy.py`, whose teacher and first weights it shares.

    LIMBECK_DATA=... python benchmarks/teacher_mode.py [--quick] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from cached_views import compare
from machine import machine
from outcome import RESULTS, present_device, say, say_machine, write
from peer_jobs import BATCH, CASES, SETTINGS, Size, network_of, prepare
from peers import WORK
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from limbeck.data.augment import Augment
from limbeck.data.dataset import Dataset
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.evaluate.predictions import predict
from limbeck.models.weights import load_weights

CASE = CASES["resnet20-cifar10"]
MODES = ("eval", "train")
SEEDS, JOBS = 3, 2


def train(dataset: Dataset, folder: Path, size: Size, *, mode: str, seed: int) -> dict[str, float]:
    """One training by hand: accuracy of the student, and of the teacher before and after."""
    device = present_device()
    teacher, student = (network_of(form, dataset).to(device) for form in (CASE.teacher, CASE.student))
    for role, network in (("teacher", teacher), ("student", student)):
        load_weights(network.network, folder / f"{role}.safetensors")
        network.to(memory_format=torch.channels_last)
    teacher.requires_grad_(False)
    before = _accuracy(teacher, dataset)
    optimizer = torch.optim.SGD(
        student.parameters(), **{key: SETTINGS[key] for key in ("lr", "momentum", "weight_decay")}
    )
    augment, classes = Augment(**CASE.augment), len(dataset.classes)
    loader = Loader(dataset.train, batch=BATCH, augment=augment, seed=seed, classes=classes, device=device)
    temperature, hard = SETTINGS["temperature"], SETTINGS["hard_weight"]
    teacher.train(mode == "train")
    student.train()
    for (batch,) in islice(loader.batches(), size.epochs * loader.steps_per_epoch):
        images, labels = batch[0], batch[1]
        with torch.autocast(device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                taught = teacher(images).float()
            answers = student(images).float()
        target, said = (F.log_softmax(logits / temperature, dim=1) for logits in (taught, answers))
        soft = F.kl_div(said, target, reduction="batchmean", log_target=True)
        loss = hard * F.cross_entropy(answers, labels) + (1 - hard) * temperature**2 * soft
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"student": _accuracy(student, dataset), "before": before, "after": _accuracy(teacher, dataset)}


def _folder(size: Size) -> Path:
    return WORK / "accuracy" / f"{CASE.name}-{size.images}-{size.teacher_epochs}"


def _accuracy(network: nn.Module, dataset: Dataset) -> float:
    assert dataset.test is not None
    found = predict(network.eval(), evaluation_batches(dataset.test))
    return round((found.logits.argmax(1) == found.labels).double().mean().item(), 4)


def measure(size: Size, seeds: int) -> dict[str, Any]:
    """Every mode and seed, in processes of their own."""
    folder = _folder(size)
    with Console().status("preparing; the teacher is trained unless it is there"):
        for seed in range(seeds):
            prepare(CASE, size, folder / f"seed-{seed}", seed=seed, teachers=folder / "teacher")

    def one(asked: tuple[str, int]) -> dict[str, float]:
        mode, seed = asked
        where = folder / f"seed-{seed}" / f"teacher-in-{mode}.json"
        if not where.is_file():
            command = [sys.executable, __file__, "--one", mode, str(seed), "--seeds", str(seeds)]
            command += ["--quick"] if size == CASE.quick else []
            subprocess.run(command, check=True)
        found: dict[str, float] = json.loads(where.read_text(encoding="utf-8"))
        return found

    pairs = [(mode, seed) for seed in range(seeds) for mode in MODES]
    with Console().status(f"{len(pairs)} trainings, {JOBS} at a time"), ThreadPoolExecutor(JOBS) as pool:
        rows = dict(zip(pairs, pool.map(one, pairs), strict=True))
    students = {mode: [rows[mode, seed]["student"] for seed in range(seeds)] for mode in MODES}
    return {
        "images": size.images,
        "epochs": size.epochs,
        "teacher_before": rows[pairs[0]]["before"],
        "teacher_after": {mode: [rows[mode, seed]["after"] for seed in range(seeds)] for mode in MODES},
        "students": students,
        "train_against_eval": compare(students["train"], students["eval"]),
    }


def show(found: dict[str, Any]) -> None:
    """The table and the verdict."""
    title = f"resnet20 under resnet56, {found['images']} images, {found['epochs']} epochs; test accuracy"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("teacher's mode", "students", "mean ± std", "teacher afterwards"):
        table.add_column(heading, justify="left" if heading.endswith("mode") else "right")
    for mode in MODES:
        students = found["students"][mode]
        spread = f"{statistics.fmean(students):.2%} ± {statistics.stdev(students):.2%}"
        table.add_row(mode, _listed(students), spread, _listed(found["teacher_after"][mode]))
    Console().print(table, highlight=False)
    paired = found["train_against_eval"]
    low, high = (100 * end for end in paired["interval"])
    say(f"The teacher before: {found['teacher_before']:.2%}.")
    say(
        f"Taught in training mode against evaluation mode: {100 * paired['mean']:+.2f} points, 95 % interval "
        f"{low:+.2f} to {high:+.2f} ({len(paired['differences'])} pairs, t)."
    )


def _listed(values: list[float]) -> str:
    return ", ".join(f"{one:.2%}" for one in values)


def main() -> None:
    """Train what is not trained yet, compare, print, write."""
    parser = argparse.ArgumentParser(description="A teacher left in training mode, and what its student becomes.")
    parser.add_argument("--quick", action="store_true", help="on a subset; nothing is written into results")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, at least 2")
    parser.add_argument("--one", nargs=2, metavar=("MODE", "SEED"), help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    size = CASE.quick if wishes.quick else CASE.full
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that train
    if wishes.one is not None:
        mode, seed = wishes.one[0], int(wishes.one[1])
        folder = _folder(size) / f"seed-{seed}"
        dataset = CASE.data(validation=0, batch=BATCH, subset=size.images).load()
        write(folder / f"teacher-in-{mode}.json", train(dataset, folder, size, mode=mode, seed=seed))
        return
    device = present_device()
    facts = {**machine(device), "threads": 1}
    found = measure(size, wishes.seeds)
    show(found)
    say_machine(facts)
    if not wishes.quick:
        write(RESULTS / f"teacher_mode-{device.type}.json", {"machine": facts, "found": found})


if __name__ == "__main__":
    main()
