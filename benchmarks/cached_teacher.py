"""What a stored teacher costs a training, and what it saves.

The same epoch is trained by `limbeck.fit` in four ways: the student alone, under stored logits, under stored logits
and one stored feature tap, and under the live teacher. Same student, images, order and number of steps. The four take
turns in one process, forwards and backwards, so that whatever else the machine is doing falls on all alike. The
figures are medians of the ratios within a round.

    ratio     an epoch with the stored teacher / the epoch without any; the promise is at most 1.10
    speed-up  an epoch with the live teacher / the epoch with the stored one

The feature tap is used by a loss on attention maps (Zagoruyko, Komodakis, ICLR 2017, here normalised over the
batch): the mean square over the channels, which needs no module of its own. What this loss costs is part of the ratio.

Then the figures of CIFAR-10's logits in eight views: bytes on the disk, and by how much the process grows when every
row of every view is served in random order.

    LIMBECK_DATA=... python benchmarks/cached_teacher.py [--quick] [--only mlp-mnist]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck import KD, Classification, Distiller, Supervised, Train, fit
from limbeck.core.bridge import Bridge
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.method import Method, Nets
from limbeck.core.net import Kind, Net
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.dataset import Dataset
from limbeck.data.idx import Mnist
from limbeck.data.loader import Loader
from limbeck.models.build import build
from limbeck.train.cache import Cache, Filling
from limbeck.train.served import Stored
from limbeck.train.settings import SGD, Cached, Constant

RESULTS = Path(__file__).parent / "results"
PROMISE, DISK, MEMORY = 1.10, 10.0, 100.0
WAYS = ("alone", "cached logits", "cached tap", "live logits")
TASK = Classification()


@settings
class Attending(KD):
    """Soft targets, and the attention maps at one tap of each network.

    Args:
        tap: in both networks.
    """

    tap: str

    def taps(self) -> Mapping[str, Sequence[str]]:
        """The same tap in both."""
        return {"student": (self.tap,), "teacher": (self.tap,)}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Those of soft targets, and the difference of the maps."""
        terms = super().terms(nets, batch, at)
        student, teacher = (_attention(nets[role](batch).taps[self.tap]) for role in ("student", "teacher"))
        return {**terms, "attention": F.mse_loss(student, teacher)}


def _attention(features: Tensor) -> Tensor:
    return F.normalize(features.square().mean(1).flatten(), dim=0)


@dataclass(frozen=True)
class Case:
    """A pair of networks on a data set.

    Args:
        name: in the table.
        data: where the images come from.
        samples: in an epoch.
        teacher: name and arguments.
        student: name and arguments.
        tap: in both networks.
        rounds: in which each way trains one epoch.
    """

    name: str
    data: Mnist | Cifar10
    samples: int
    teacher: tuple[str, Mapping[str, Any]]
    student: tuple[str, Mapping[str, Any]]
    tap: str
    rounds: int


MNIST = Mnist(batch=128, validation=0, augment=Augment(shift=2))
CIFAR = Cifar10(batch=64, validation=0, augment=Augment(crop=4, flip=True))
LARGE, SMALL = {"hidden": [1200, 1200]}, {"hidden": [800, 800]}
CASES = (
    Case("mlp-mnist", MNIST, 19_200, ("mlp", LARGE), ("mlp", SMALL), "layer2", rounds=8),
    Case("resnet20-cifar10", CIFAR, 1_280, ("resnet56", {}), ("resnet20", {}), "layer3", rounds=6),
)


def measure(case: Case, *, rounds: int, device: torch.device, folder: Path) -> dict[str, Any]:
    """Train an epoch in every way, again and again."""
    dataset = case.data.load()
    part = dataset.train.take(torch.arange(case.samples))
    augment = case.data.augment
    loader = partial(Loader, part, batch=case.data.batch, augment=augment, seed=0, classes=10, device=device, views=2)
    epochs = {way: _epoch(way, case, dataset, loader(), device, folder) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):  # the first one warms up
        for way in WAYS if number % 2 else WAYS[::-1]:
            seconds[way].append(epochs[way]())
    kept = {way: found[1:] for way, found in seconds.items()}
    return {
        "case": case.name,
        "batch": case.data.batch,
        "steps": loader().steps_per_epoch,
        "rounds": rounds,
        **{f"{way.replace(' ', '_')}_s": round(statistics.median(found), 4) for way, found in kept.items()},
        "ratio_logits": _ratio(kept["cached logits"], kept["alone"]),
        "ratio_tap": _ratio(kept["cached tap"], kept["alone"]),
        "speedup_logits": _ratio(kept["live logits"], kept["cached logits"]),
    }


def _ratio(one: list[float], other: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 4)


def _epoch(
    way: str, case: Case, dataset: Dataset, loader: Loader, device: torch.device, folder: Path
) -> Callable[[], float]:
    """A function that trains one epoch and gives its seconds."""
    methods = {"alone": Supervised(), "cached tap": Attending(tap=case.tap)}
    method: Method = methods.get(way, KD())
    forms = {"student": case.student} | ({} if way == "alone" else {"teacher": case.teacher})
    models = {role: _network(form, dataset).to(device) for role, form in forms.items()}
    example = loader.step(0)[0]
    distiller = Distiller(method, TASK, models, example)
    if way.startswith("cached"):
        serve(distiller["teacher"], loader, Cache(folder / f"{case.name}-{way}"), example)
    training = Train(
        length=f"{loader.steps_per_epoch} steps",
        optimizer=SGD(lr=1e-4, momentum=0.9),
        schedule=Constant(),
        log="50 steps",
        checkpoint="1000000 steps",
    )

    def epoch() -> float:
        began = time.perf_counter()
        fit(distiller, loader, training, progress=False)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return epoch


def _network(form: tuple[str, Mapping[str, Any]], dataset: Dataset) -> nn.Module:
    torch.manual_seed(len(form[0]))
    shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
    return Bridge(build(form[0], form[1], classes=len(dataset.classes), **shape), mean=dataset.mean, std=dataset.std)


def serve(net: Net, loader: Loader, cache: Cache, example: Any, *, views: int = 2) -> None:
    """Store a network's passes and let them answer for it."""

    def whole(batch: Any) -> ForwardPass:
        try:
            return net(batch)
        finally:
            net.forget()

    parts = {"size": TASK.size, "rows": len(loader.ids), "views": views, "settings": Cached(), "who": "teacher"}
    filling = Filling(key={}, run=whole, view=loader.view, example=example, **parts)
    filling.into(cache, say=lambda _line: None, done=lambda _count: None)
    net.served = Stored(cache, ids=loader.ids, key=TASK.key, view_at=loader.view_at, device=loader.device)


def sizes(folder: Path) -> dict[str, Any]:
    """CIFAR-10's logits in eight views, on the disk and in memory; on the CPU. Any network has as many logits."""
    dataset = replace(CIFAR, batch=500).load()
    loader = Loader(dataset.train, batch=500, augment=CIFAR.augment, seed=0, classes=10, views=8)
    net = Net(nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 10)), TASK.run, kind=Kind.FROZEN)
    cache, example = Cache(folder / "sizes"), loader.step(0)[0]
    serve(net, loader, cache, example, views=8)
    net.served = None
    before = _resident()
    stored = Stored(cache, ids=loader.ids, key=TASK.key, view_at=loader.view_at)
    grown = 0
    for step in range(8 * loader.steps_per_epoch):
        epoch, index = divmod(step, loader.steps_per_epoch)
        ids = torch.randperm(50_000, generator=torch.Generator().manual_seed(epoch))[index * 500 : (index + 1) * 500]
        batch = (example.images, example.labels, ids)
        stored.now(batch, step)
        stored(batch)
        grown = max(grown, _resident() - before)
    disk = sum(path.stat().st_size for path in cache.folder.iterdir())
    return {"views": 8, "rows": 50_000, "disk_mb": round(disk / 1e6, 3), "resident_mb": round(grown / 1e6, 1)}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def show(found: list[dict[str, Any]], size: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> None:
    """The table, one column per case."""
    table = Table(title="An epoch under a teacher", title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for row in found:
        table.add_column(f"{row['case']}\n{row['steps']} steps of {row['batch']}", justify="right")
    for way in WAYS:
        table.add_row(f"{way}, s", *[f"{row[way.replace(' ', '_') + '_s']:.2f}" for row in found])
    labels = {
        "ratio_logits": "cached logits / alone",
        "ratio_tap": "cached tap / alone",
        "speedup_logits": "live / cached",
    }
    for key, label in labels.items():
        table.add_row(f"{label}, median", *[f"{row[key]:.3f}" for row in found])
    console = Console()
    console.print(table)
    if size is not None:
        line = f"CIFAR-10 logits, 8 views: {size['disk_mb']} MB on the disk (promised: under {DISK:.0f}), "
        console.print(f"{line}{size['resident_mb']} MB resident (promised: under {MEMORY:.0f})", highlight=False)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
    worst = max(max(row["ratio_logits"], row["ratio_tap"]) for row in found)
    console.print(f"Promised: a ratio of at most {PROMISE:.2f}. Largest here: {worst:.3f}.", highlight=False)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What a stored teacher costs, and what it saves.")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one case; nothing is written")
    parser.add_argument("--quick", action="store_true", help="two rounds; nothing is written")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = [case for case in CASES if asked.only in (None, case.name)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = None if asked.only else sizes(folder)  # first, before anything else has grown the process
        rounds = 2 if asked.quick else 0
        found = [measure(case, rounds=rounds or case.rounds, device=device, folder=folder) for case in chosen]
    facts = machine(device)
    show(found, size, facts)
    if not asked.quick and asked.only is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"cached_teacher-{device.type}.json"
        document = {"machine": facts, "cases": found, "sizes": size}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
