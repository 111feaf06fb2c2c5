"""What `limbeck.fit` adds to a training step.

The same distillation is trained twice in one process: by `fit`, and by the loop that one would write by hand (teacher
forward, student forward, two losses, backward, optimiser step). Both see the same images in the same order, start from
the same weights and step the same optimiser. They take turns in blocks of steps, in the order fit, bare, bare, fit, fit
and so on, so that whatever else the machine is doing, and however its clock moves, falls on both alike: the bare loop
runs inside the stream of batches that `fit` draws from, between two of its steps.

The figure is the median ratio of neighbouring blocks, by the wall clock. On a machine that has other work to do, the
ratio of the processor's time spent in each block is the steadier one, and stands beside it.

Time for making a batch is measured apart, because it is the same on both sides and would only dilute the ratio. Writing
and showing metrics is part of `fit`'s step. Evaluations and checkpoints are not: they happen between steps, as often as
one asks for them.

    LIMBECK_DATA=... python benchmarks/step_overhead.py [--quick] [--only mlp-mnist]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import machine
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from limbeck import KD, Classification, Distiller, Train, fit
from limbeck.core.bridge import Bridge
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.dataset import Dataset
from limbeck.data.idx import Mnist
from limbeck.data.loader import Loader
from limbeck.models.build import build
from limbeck.train.settings import SGD, Constant

RESULTS = Path(__file__).parent / "results"
TEMPERATURE, HARD_WEIGHT = 4.0, 0.1
PROMISE = 1.05
Step = Callable[[Any], None]


@dataclass(frozen=True)
class Case:
    """A pair of networks on a data set.

    Args:
        name: in the table.
        data: where the images come from.
        teacher: name and arguments.
        student: name and arguments.
        block: steps in a row; metrics are written once per block.
        blocks: of each side.
    """

    name: str
    data: Mnist | Cifar10
    teacher: tuple[str, Mapping[str, Any]]
    student: tuple[str, Mapping[str, Any]]
    block: int
    blocks: int


MNIST = Mnist(batch=128, validation=0)
CIFAR = Cifar10(batch=64, validation=0, augment=Augment(crop=4, flip=True))
LARGE, SMALL = {"hidden": [1200, 1200]}, {"hidden": [800, 800]}
CASES = (
    Case("mlp-mnist", MNIST, ("mlp", LARGE), ("mlp", SMALL), block=50, blocks=40),
    Case("resnet20-cifar10", CIFAR, ("resnet56", {}), ("resnet20", {}), block=5, blocks=40),
)


@dataclass
class Stopwatch:
    """Of one side, per block: seconds a step by the wall clock and on the processor, and seconds a batch takes to make.

    Args:
        wait: returns when the device has done its work.
    """

    wait: Callable[[], None]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)

    def open_block(self) -> None:
        """A new block begins."""
        for record in (self.wall, self.cpu, self.made):
            record.append(0.0)

    @contextmanager
    def stepping(self, block: int) -> Iterator[None]:
        """Add what happens inside to the open block, as one of `block` steps."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wait()
        self.wall[-1] += (time.perf_counter() - wall) / block
        self.cpu[-1] += (time.process_time() - cpu) / block

    @contextmanager
    def making(self, block: int) -> Iterator[None]:
        """The same for making a batch."""
        wall = time.perf_counter()
        yield
        self.wait()
        self.made[-1] += (time.perf_counter() - wall) / block


class Interleaved:
    """The stream from which `fit` takes its batches; between two of fit's blocks it runs the bare loop's.

    Args:
        loader: a factory of equal streams, one for each side.
        bare: the hand-written step.
        block: steps per block.
        wait: returns when the device has done its work.
    """

    def __init__(self, loader: Callable[[], Loader], bare: Step, *, block: int, wait: Callable[[], None]) -> None:
        self._fit_batches, self._bare_batches = loader(), loader().batches()
        self._bare, self._block = bare, block
        self.fit, self.by_hand = Stopwatch(wait), Stopwatch(wait)

    @property
    def steps_per_epoch(self) -> int:
        """Of the data."""
        return self._fit_batches.steps_per_epoch

    def batches(self, start_step: int = 0) -> Iterator[list[Any]]:
        """What fit trains on. From handing out a batch to being asked for the next one is fit's step."""
        stream = self._fit_batches.batches(start_step)
        while True:
            self.fit.open_block()
            for _ in range(self._block):
                with self.fit.making(self._block):
                    micro = next(stream)
                with self.fit.stepping(self._block):
                    yield micro
            # fit bare | bare fit | fit bare | ...: so the two blocks of a pair are always neighbours
            if len(self.fit.wall) % 2:
                self._run_by_hand()
                self._run_by_hand()

    def _run_by_hand(self) -> None:
        self.by_hand.open_block()
        for _ in range(self._block):
            with self.by_hand.making(self._block):
                (batch,) = next(self._bare_batches)
            with self.by_hand.stepping(self._block):
                self._bare(batch)


def by_hand(teacher: nn.Module, student: nn.Module, settings: SGD) -> Step:
    """The loop's body as one would write it without limbeck."""
    teacher.eval().requires_grad_(False)
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=settings.lr, momentum=settings.momentum, fused=True)

    def step(batch: Any) -> None:
        images, labels = batch[0], batch[1]
        with torch.no_grad():
            target = F.log_softmax(teacher(images) / TEMPERATURE, dim=-1)
        logits = student(images)
        soft = F.kl_div(F.log_softmax(logits / TEMPERATURE, dim=-1), target, reduction="batchmean", log_target=True)
        loss = HARD_WEIGHT * F.cross_entropy(logits, labels) + (1 - HARD_WEIGHT) * TEMPERATURE**2 * soft
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(case: Case, *, blocks: int, device: torch.device) -> dict[str, Any]:
    """Train both ways and compare."""
    dataset = case.data.load()
    teacher, student = (_network(form, dataset).to(device) for form in (case.teacher, case.student))
    optimizer = SGD(lr=0.01, momentum=0.9)
    bare = by_hand(copy.deepcopy(teacher), bare_student := copy.deepcopy(student), optimizer)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def loader() -> Loader:
        augment = case.data.augment
        return Loader(dataset.train, batch=case.data.batch, augment=augment, seed=0, classes=10, device=device)

    stream = Interleaved(loader, bare, block=case.block, wait=wait)
    example = loader().step(0)[0]
    models = {"teacher": teacher, "student": student}
    method = KD(temperature=TEMPERATURE, hard_weight=HARD_WEIGHT)
    distiller = Distiller(method, Classification(), models, example)
    # One block more than is counted, because the last step of a training also saves it; the first pair warms up.
    settings = Train(
        length=f"{(blocks + 2) * case.block + 1} steps",
        optimizer=optimizer,
        schedule=Constant(),
        log=f"{case.block} steps",
        checkpoint="1000000 steps",
        evaluate="1000000 steps",
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(distiller, stream, settings, folder=Path(folder), title=case.name)
    distiller.close()
    return _summary(case, stream, blocks, _distance(student, bare_student))


def _network(form: tuple[str, Mapping[str, Any]], dataset: Dataset) -> nn.Module:
    torch.manual_seed(len(form[0]))
    shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
    return Bridge(build(form[0], form[1], classes=len(dataset.classes), **shape), mean=dataset.mean, std=dataset.std)


def _distance(one: nn.Module, other: nn.Module) -> float:
    """The largest relative difference between the two students' weights; fit has done one step more."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).float().norm() / b.float().norm().clamp_min(1e-12)) for a, b in pairs)


def _summary(case: Case, stream: Interleaved, blocks: int, distance: float) -> dict[str, Any]:
    kept = slice(2, blocks + 2)
    ratios = _ratios(stream.fit.wall[kept], stream.by_hand.wall[kept])
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "case": case.name,
        "batch": case.data.batch,
        "block_steps": case.block,
        "blocks": blocks,
        "bare_ms": _median_ms(stream.by_hand.wall[kept]),
        "fit_ms": _median_ms(stream.fit.wall[kept]),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(quartiles[0], 4), round(quartiles[2], 4)],
        "bare_cpu_ms": _median_ms(stream.by_hand.cpu[kept]),
        "fit_cpu_ms": _median_ms(stream.fit.cpu[kept]),
        "cpu_ratio": round(statistics.median(_ratios(stream.fit.cpu[kept], stream.by_hand.cpu[kept])), 4),
        "batch_ms": _median_ms(stream.fit.made[kept]),
        "weights_differ_by": float(f"{distance:.1e}"),
    }


def _ratios(fitted: list[float], bare: list[float]) -> list[float]:
    """Of neighbouring blocks."""
    return [one / other for one, other in zip(fitted, bare, strict=True)]


def _median_ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 4)


def show(found: list[dict[str, Any]], facts: Mapping[str, Any]) -> None:
    """The table, one column per case."""
    table = Table(title="What fit adds to a step", title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for row in found:
        table.add_column(f"{row['case']}\nbatch {row['batch']}", justify="right")
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "bare loop, ms a step": lambda row: f"{row['bare_ms']:.2f}",
        "fit, ms a step": lambda row: f"{row['fit_ms']:.2f}",
        "ratio of neighbouring blocks, median": lambda row: f"{row['ratio']:.3f}",
        "its quartiles": lambda row: "{:.3f} – {:.3f}".format(*row["ratio_quartiles"]),
        "bare loop, ms on the processor": lambda row: f"{row['bare_cpu_ms']:.2f}",
        "fit, ms on the processor": lambda row: f"{row['fit_cpu_ms']:.2f}",
        "ratio on the processor, median": lambda row: f"{row['cpu_ratio']:.3f}",
        "making a batch, ms (not counted)": lambda row: f"{row['batch_ms']:.2f}",
    }
    for label, cell in lines.items():
        table.add_row(label, *[cell(row) for row in found])
    console = Console()
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
    worst = max(row["ratio"] for row in found)
    console.print(f"Promised: a ratio of at most {PROMISE}. Largest here: {worst:.3f}.", highlight=False)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What fit adds to a training step.")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one case; nothing is written")
    parser.add_argument("--quick", action="store_true", help="four blocks a side; nothing is written")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = [case for case in CASES if asked.only in (None, case.name)]
    found = [measure(case, blocks=4 if asked.quick else case.blocks, device=device) for case in chosen]
    facts = machine(device)
    show(found, facts)
    if not asked.quick and asked.only is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"step_overhead-{device.type}.json"
        path.write_text(json.dumps({"machine": facts, "cases": found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
