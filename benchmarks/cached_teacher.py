"""What a stored teacher costs a training, and what it saves.

The same two epochs, one on each of two augmented views, are trained by `limbeck.fit` in six ways: the student alone;
under stored logits, and under stored logits and one stored feature tap; under the same losses against one constant pass
without any teacher, which is what the losses themselves cost; and under the live teacher. Same student, images, order
and number of steps. The six take turns in one process, forwards and backwards, so that whatever else the machine is
doing falls on all alike. The figures are medians of the ratios within a round.

    ratio           with the stored teacher / the student alone; the promise is at most 1.10
    of the storage  with the stored teacher / the same losses on constants: reading and gathering the rows, and checking
                    that the teacher did not change
    speed-up        with the live teacher / with the stored one

The feature tap is used by a loss on attention maps (Zagoruyko, Komodakis, ICLR 2017, here normalised over the
batch): the mean square over the channels, which needs no module of its own.

What a call of `fit` costs besides its steps (opening the accelerator, two digests of the teacher) is in the figures of
every way that has it; there are as many steps as it takes to make that small.

Then the figures of CIFAR-10's logits in eight views: bytes on the disk, and by how much the process grows when every
row of every view is served in random order. Whether eight views teach as well: `cached_views.py`.

    LIMBECK_DATA=... python benchmarks/cached_teacher.py [--quick] [--only mlp-mnist]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attending import Attending, OnConstants
from machine import machine
from outcome import RESULTS, Lines, asked, keep, kept, present_device, say, say_machine, show, write
from torch import nn

from limbeck import KD, Classification, Distiller, Supervised, Train, fit
from limbeck.core.bridge import Bridge
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.net import Kind, Net
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.dataset import Dataset
from limbeck.data.idx import Mnist
from limbeck.data.loader import Loader
from limbeck.models.build import build
from limbeck.train.cache import Cache
from limbeck.train.filling import Filling
from limbeck.train.served import Stored
from limbeck.train.settings import SGD, Cached, Constant

PROMISE, DISK, MEMORY = 1.10, 10.0, 100.0
WAYS = ("alone", "constant logits", "cached logits", "constant tap", "cached tap", "live logits")
VIEWS = 2
TASK = Classification()


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
        rounds: in which each way trains once.
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
CASES = {
    case.name: case
    for case in (
        Case("mlp-mnist", MNIST, 30_000, ("mlp", LARGE), ("mlp", SMALL), "layer2", rounds=8),
        Case("resnet20-cifar10", CIFAR, 1_920, ("resnet56", {}), ("resnet20", {}), "layer3", rounds=6),
    )
}


def measure(case: Case, *, device: torch.device, folder: Path) -> dict[str, Any]:
    """Train in every way, again and again."""
    dataset = case.data.load()
    part, augment = dataset.train.take(torch.arange(case.samples)), case.data.augment
    loader = partial(Loader, part, batch=case.data.batch, augment=augment, seed=0, classes=10, device=device)
    trainings = {way: _training(way, case, dataset, loader(views=VIEWS), folder) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(case.rounds + 1):  # the first one warms up
        for way in WAYS if number % 2 else WAYS[::-1]:
            seconds[way].append(trainings[way]())
    counted = {way: found[1:] for way, found in seconds.items()}

    def ratio(one: str, other: str) -> float:
        pairs = zip(counted[one], counted[other], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 4)

    return {
        "case": case.name,
        "batch": case.data.batch,
        "steps": VIEWS * loader().steps_per_epoch,
        "rounds": case.rounds,
        **{f"{way.replace(' ', '_')}_s": round(statistics.median(found), 4) for way, found in counted.items()},
        "ratio_logits": ratio("cached logits", "alone"),
        "ratio_tap": ratio("cached tap", "alone"),
        "ratio_logits_to_constant": ratio("cached logits", "constant logits"),
        "ratio_tap_to_constant": ratio("cached tap", "constant tap"),
        "speedup_logits": ratio("live logits", "cached logits"),
    }


def _training(way: str, case: Case, dataset: Dataset, loader: Loader, folder: Path) -> Callable[[], float]:
    """A function that trains an epoch on each view and gives its seconds."""
    distiller = _distiller(way, case, dataset, loader)
    if way.startswith("cached"):
        serve(distiller["teacher"], loader, Cache(folder / f"{case.name}-{way}"), loader.step(0)[0], views=VIEWS)
    training = Train(
        length=f"{VIEWS} epochs",
        optimizer=SGD(lr=1e-4, momentum=0.9),
        schedule=Constant(),
        log="50 steps",
        checkpoint="1000000 steps",
    )

    def seconds() -> float:
        began = time.perf_counter()
        fit(distiller, loader, training, progress=False)
        if loader.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return seconds


def _distiller(way: str, case: Case, dataset: Dataset, loader: Loader) -> Distiller:
    student, teacher = (_network(form, dataset).to(loader.device) for form in (case.student, case.teacher))
    example = loader.step(0)[0]
    if way == "alone":
        return Distiller(Supervised(), TASK, {"student": student}, example)
    method: KD = Attending(tap=case.tap) if way.endswith("tap") else KD()
    if way.startswith("constant"):
        given = Net(teacher, TASK.run, taps=method.taps().get("teacher", ()), kind=Kind.FROZEN)(example)
        return Distiller(OnConstants(method=method, given=given), TASK, {"student": student}, example)
    return Distiller(method, TASK, {"student": student, "teacher": teacher}, example)


def _network(form: tuple[str, Mapping[str, Any]], dataset: Dataset) -> nn.Module:
    torch.manual_seed(len(form[0]))
    shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
    return Bridge(build(form[0], form[1], classes=len(dataset.classes), **shape), mean=dataset.mean, std=dataset.std)


def serve(net: Net, loader: Loader, cache: Cache, example: Any, *, views: int) -> None:
    """Store a network's passes and let them answer for it."""

    def whole(batch: Any) -> ForwardPass:
        try:
            return net(batch)
        finally:
            net.forget()

    parts = {"ids": TASK.key, "rows": len(loader.ids), "views": views, "settings": Cached(), "who": "teacher"}
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


RATIOS = {
    "ratio_logits": "cached logits / alone",
    "ratio_tap": "cached tap / alone",
    "ratio_logits_to_constant": "cached logits / constant logits",
    "ratio_tap_to_constant": "cached tap / constant tap",
    "speedup_logits": "live / cached logits",
}


def _lines() -> Lines:
    seconds = {f"{way}, s": lambda case, way=way: f"{case[way.replace(' ', '_') + '_s']:.2f}" for way in WAYS}
    ratios = {f"{label}, median": lambda case, key=key: f"{case[key]:.3f}" for key, label in RATIOS.items()}
    return {**seconds, **ratios}


def main() -> None:
    """Measure, print, write."""
    wishes = asked("What a stored teacher costs, and what it saves.", cases=list(CASES), quick="two rounds of 20 steps")
    device, found, size = present_device(), [], None
    facts, path = machine(device), RESULTS / f"cached_teacher-{device.type}.json"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not wishes.only:
            size = sizes(folder)  # first, before anything else has grown the process
        for case in [CASES[wishes.only]] if wishes.only else CASES.values():
            short = replace(case, rounds=2, samples=10 * case.data.batch)
            found.append(measure(short if wishes.quick else case, device=device, folder=folder))
            if not wishes.quick:
                keep(path, facts, found[-1], order=list(CASES))
    if size is not None and not wishes.quick:
        write(path, {**kept(path, facts), "sizes": size})
    show(
        "Two epochs under a teacher",
        found,
        lambda case: f"{case['case']}\n{case['steps']} of {case['batch']}",
        _lines(),
    )
    if size is not None:
        say(
            f"CIFAR-10 logits, 8 views: {size['disk_mb']} MB on the disk (promised: under {DISK:.0f}), "
            f"{size['resident_mb']} MB resident (promised: under {MEMORY:.0f})"
        )
    say_machine(facts)
    alone, constant = (
        max(max(case[f"ratio_{of}{to}"] for of in ("logits", "tap")) for case in found) for to in ("", "_to_constant")
    )
    say(f"Promised: at most {PROMISE:.2f} of the student alone, losses included. Largest here: {alone:.3f}.")
    say(f"Without what the losses themselves cost, that is against the same losses on constants: {constant:.3f}.")


if __name__ == "__main__":
    main()
