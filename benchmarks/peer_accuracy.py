"""Whether the ways of `peers.py` deliver equally good students: the same jobs again, over seeds and untimed.

A seed gives a student's first weights and the order of its images; all ways start from the same weights. Jobs run two
at a time with one thread each, because nothing is timed here. The cached way stores as many views as there are epochs:
a training of three epochs looks at the first three of eight views only, so it ends with the same bits.

The verdict is that of a paired t-test against the better of the others: *worse* only if the whole 95 % interval of the
mean difference lies below zero. Few pairs make that interval wide, so it is printed.

What is finished is kept in `runs/peers/accuracy`, and an interrupted benchmark goes on there.

    LIMBECK_DATA=... python benchmarks/peer_accuracy.py [--quick] [--only mlp-mnist] [--seeds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from cached_views import compare
from machine import machine
from outcome import RESULTS, keep, present_device, say, say_machine, write
from peer_jobs import CASES, Case, Size, prepare, tested
from peers import TORCHDISTILL, WAYS, WORK, install_torchdistill, timed
from rich.console import Console
from rich.table import Table

SEEDS = 3
OURS, OTHERS = ("limbeck, bf16", "limbeck, bf16, cached"), (TORCHDISTILL, "tutorial loop")
JOBS = 2


def measure(case: Case, size: Size, folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """One case, every way and every seed."""
    case, console = replace(case, views=min(case.views, size.epochs)), Console()
    with console.status(f"{case.name}: training the teacher, unless it is there"):
        datasets = {
            seed: prepare(case, size, folder / f"seed-{seed}", seed=seed, teachers=folder / "teacher") for seed in seeds
        }

    def one(asked: tuple[str, int]) -> float:
        name, seed = asked
        way, where = WAYS[name], folder / f"seed-{seed}"
        if not (where / f"{name}.done").is_file():
            timed(way, case, where)
            (where / f"{name}.done").touch()
        return tested(case.student, way.weights(where), datasets[seed])

    pairs = [(name, seed) for seed in seeds for name in (*OTHERS, *OURS)]
    with console.status(f"{case.name}: {len(pairs)} trainings, {JOBS} at a time"), ThreadPoolExecutor(JOBS) as pool:
        accuracies = dict(zip(pairs, pool.map(one, pairs), strict=True))
    found = {name: [accuracies[name, seed] for seed in seeds] for name in (*OURS, *OTHERS)}
    best = max(OTHERS, key=lambda name: statistics.fmean(found[name]))
    return {
        "case": case.name,
        "images": size.images,
        "epochs": size.epochs,
        "seeds": list(seeds),
        "teacher_accuracy": tested(case.teacher, folder / "seed-0" / "teacher.safetensors", datasets[0]),
        "accuracy": found,
        "best_of_others": best,
        "against_best": {name: compare(found[name], found[best]) for name in OURS},
    }


def show(found: Mapping[str, Any]) -> None:
    """The table and the verdicts."""
    title = f"{found['case']}: {found['images']} images, {found['epochs']} epochs; test accuracy"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("", *[f"seed {seed}" for seed in found["seeds"]], "mean ± std"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, values in found["accuracy"].items():
        table.add_row(name, *[f"{value:.2%}" for value in values], _spread(values))
    Console().print(table, highlight=False)
    for name, paired in found["against_best"].items():
        low, high = (100 * end for end in paired["interval"])
        verdict = "worse" if high < 0 else "better" if low > 0 else "no difference beyond noise"
        say(
            f"{name} against {found['best_of_others']}: {100 * paired['mean']:+.2f} points, "
            f"95 % interval {low:+.2f} to {high:+.2f} ({len(found['seeds'])} pairs, t): {verdict}."
        )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.2%} ± {statistics.stdev(values):.2%}"


def main() -> None:
    """Train what is not trained yet, compare, print, write."""
    parser = argparse.ArgumentParser(description="Accuracy of the same job, each way, over seeds.")
    parser.add_argument("--only", choices=list(CASES), help="one case; it takes its place among the results")
    parser.add_argument("--quick", action="store_true", help="on subsets; nothing is written into results")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, at least 2")
    wishes = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that train
    device = present_device()
    install_torchdistill()
    facts = {**machine(device), "threads": 1, "torchdistill": "1.1.5"}
    for name in [wishes.only] if wishes.only else CASES:
        case = CASES[name]
        size = case.quick if wishes.quick else case.full
        folder = WORK / "accuracy" / f"{name}-{size.images}-{size.teacher_epochs}"
        found = measure(case, size, folder, range(wishes.seeds))
        show(found)
        if wishes.quick:
            write(folder / "found.json", found)
        else:
            keep(RESULTS / f"peer_accuracy-{device.type}.json", facts, found, order=list(CASES))
    say_machine(facts)


if __name__ == "__main__":
    main()
