"""What each key of a recipe that makes steps faster is worth.

A distillation, resnet20 from resnet56 on CIFAR-10 with random crops and flips, is trained for some steps by
`limbeck.fit`: with everything off, with each key alone, with the defaults, and with everything on. Each is a process of
its own, because an allocator does not forget; they take turns, and the order is reversed from round to round. Warm-up
(and compiling) is left out and shown apart.

    LIMBECK_DATA=... python benchmarks/faster_steps.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from machine import machine
from rich.console import Console
from rich.table import Table

from limbeck import KD, Classification, Distiller, Train, fit
from limbeck.core.bridge import Bridge
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.loader import Loader
from limbeck.models.build import build

RESULTS = Path(__file__).parent / "results"
BATCH, WARM_UP = 128, 5
OFF: dict[str, Any] = {"precision": "fp32", "channels_last": False, "compile": False, "reuse_memory": False}
KEYS: dict[str, dict[str, Any]] = {
    "everything off": {},
    "reuse_memory": {"reuse_memory": True},
    "channels_last": {"channels_last": True},
    "precision: bf16": {"precision": "bf16"},
    "compile": {"compile": True},
    "the defaults": {"reuse_memory": True, "channels_last": None},
    "the defaults and bf16": {"reuse_memory": True, "channels_last": None, "precision": "bf16"},
    "everything on": {"reuse_memory": True, "channels_last": None, "precision": "bf16", "compile": True},
}
GRAPHS = {"compile: reduce-overhead": {"compile": "reduce-overhead"}}
"""CUDA graphs: on a GPU only."""


class Clock:
    """A stream of batches that notes when each was asked for: the time between two is the step's."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.asked: list[float] = []

    @property
    def steps_per_epoch(self) -> int:
        """Of the data."""
        return self._loader.steps_per_epoch

    def batches(self, start_step: int = 0) -> Iterator[list[Any]]:
        """Of the data."""
        for step in self._loader.batches(start_step):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.asked.append(time.perf_counter())
            yield step


def train(keys: dict[str, Any], steps: int) -> dict[str, float]:
    """Milliseconds of a step, and seconds of the warm-up, in this process."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = Cifar10(validation=0).load()
    loader = Loader(dataset.train, batch=BATCH, augment=Augment(crop=4, flip=True), seed=0, classes=10, device=device)
    models = {}
    for role, name in (("teacher", "resnet56"), ("student", "resnet20")):
        torch.manual_seed(0)
        plain = build(name, {}, classes=10, channels=3, height=32, width=32)
        models[role] = Bridge(plain, mean=dataset.mean, std=dataset.std).to(device)
    distiller = Distiller(KD(), Classification(), models, loader.step(0)[0])
    clock, began = Clock(loader), time.perf_counter()
    settings = Train(length=f"{WARM_UP + steps + 1} steps", checkpoint="1000000 steps", **{**OFF, **keys})
    fit(distiller, clock, settings, progress=False)
    times = [after - before for before, after in zip(clock.asked, clock.asked[1:], strict=False)][WARM_UP:]
    return {"ms": 1000 * statistics.median(times), "warm_up_s": clock.asked[WARM_UP] - began}


def measure(name: str, steps: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", name, "--steps", str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """The table."""
    title = f"resnet20 from resnet56, CIFAR-10, batch {BATCH}"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for heading in ("ms a step", "images/s", "times as fast", "warm-up, s"):
        table.add_column(heading, justify="right")
    for row in rows:
        speed = 1000 * BATCH / row["ms"]
        table.add_row(row["keys"], f"{row['ms']:.1f}", f"{speed:.0f}", f"{row['ratio']:.2f}", f"{row['warm_up_s']:.1f}")
    console = Console()
    console.print(table, highlight=False)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What each key that makes steps faster is worth.")
    parser.add_argument("--quick", action="store_true", help="one round of a few steps; nothing is written")
    parser.add_argument("--one", choices=[*KEYS, *GRAPHS], help="measure this one, here, and print JSON")
    parser.add_argument("--steps", type=int, default=30, help="that are timed")
    asked = parser.parse_args()
    keys = {**KEYS, **GRAPHS} if torch.cuda.is_available() else KEYS
    if asked.one:
        print(json.dumps(train(keys[asked.one], asked.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in keys}
    for number in range(1 if asked.quick else 3):
        for name in list(keys)[:: -1 if number % 2 else 1]:
            found[name].append(measure(name, 5 if asked.quick else asked.steps))
    off = statistics.median(one["ms"] for one in found["everything off"])
    rows = []
    for name, times in found.items():
        ms, warm_up = (statistics.median(one[key] for one in times) for key in ("ms", "warm_up_s"))
        rows.append({"keys": name, "ms": round(ms, 2), "ratio": round(off / ms, 3), "warm_up_s": round(warm_up, 2)})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    show(rows, machine(device))
    if not asked.quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"faster_steps-{device.type}.json"
        document = {"machine": machine(device), "batch": BATCH, "keys": rows}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
