"""What `limbeck.fit` adds to a training step.

The same distillation is trained twice in one process: by `fit`, and by the loop that one would write by hand (teacher
forward, student forward, two losses, backward, optimiser step). Both see the same images in the same order, start from
the same weights and step the same optimiser. They take turns in blocks of steps (see `interleaved.py`).

The two loops differ in nothing that makes networks faster: where fit lays the weights of convolutions out with channels
last, the bare loop does, and where fit compiles the networks, it does. How the process keeps freed memory is the same
for both, because it is one process. Compiled cases exist on a GPU only.

The figure is the median ratio of neighbouring blocks, by the wall clock. On a machine that has other work to do, the
ratio of the processor's time spent in each block is the steadier one, and stands beside it.

Time for making a batch is measured apart, because it is the same on both sides and would only dilute the ratio. Writing
and showing metrics is part of `fit`'s step. Evaluations and checkpoints are not: they happen between steps, as often as
one asks for them.

    LIMBECK_DATA=... python benchmarks/step_overhead.py [--quick] [--only mlp-mnist-64]
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from interleaved import Interleaved, Step
from machine import machine
from outcome import RESULTS, Lines, asked, keep, present_device, say, say_machine, show
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

TEMPERATURE, HARD_WEIGHT = 4.0, 0.1
PROMISE = 1.05
ON_GPU = {"block": 50, "blocks": 20}
"""Steps are so short there that a block of few of them is mostly waiting."""


@dataclass(frozen=True)
class Case:
    """A pair of networks on a data set.

    Args:
        pair: of networks and data, in names.
        data: where the images come from, and how many a batch has.
        teacher: name and arguments.
        student: name and arguments.
        block: steps in a row; metrics are written once per block.
        blocks: of each side, an even number.
        compiled: whether the networks are.
    """

    pair: str
    data: Mnist | Cifar10
    teacher: tuple[str, Mapping[str, Any]]
    student: tuple[str, Mapping[str, Any]]
    block: int
    blocks: int
    compiled: bool = False

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.pair}-{self.data.batch}{'-compiled' if self.compiled else ''}"


MNIST = Mnist(batch=64, validation=0)
CIFAR = Cifar10(batch=64, validation=0, augment=Augment(crop=4, flip=True))
MLPS = ("mlp", {"hidden": [1200, 1200]}), ("mlp", {"hidden": [800, 800]})
RESNETS = ("resnet56", {}), ("resnet20", {})
VIT = ("timm/vit_tiny_patch16_224", {"img_size": 32, "patch_size": 4})
CASES = (
    Case("mlp-mnist", MNIST, *MLPS, block=50, blocks=40),
    Case("mlp-mnist", replace(MNIST, batch=512), *MLPS, block=20, blocks=40),
    Case("resnet20-cifar10", CIFAR, *RESNETS, block=5, blocks=40),
    Case("resnet20-cifar10", replace(CIFAR, batch=512), *RESNETS, block=1, blocks=36),
    Case("vit-tiny-cifar10", CIFAR, RESNETS[0], VIT, block=1, blocks=30),
    Case("vit-tiny-cifar10", replace(CIFAR, batch=512), RESNETS[0], VIT, block=1, blocks=8),
)


def cases_on(device: torch.device) -> dict[str, Case]:
    """By name; on a GPU each also compiled."""
    found = list(CASES)
    if device.type == "cuda":
        found = [replace(case, compiled=compiled, **ON_GPU) for case in CASES for compiled in (False, True)]
    return {case.name: case for case in found}


def by_hand(teacher: nn.Module, student: nn.Module, settings: SGD, *, channels_last: bool, compiled: bool) -> Step:
    """The loop's body as one would write it without limbeck."""
    teacher.eval().requires_grad_(False)
    student.train()
    if channels_last:
        teacher, student = (network.to(memory_format=torch.channels_last) for network in (teacher, student))
    optimizer = torch.optim.SGD(student.parameters(), lr=settings.lr, momentum=settings.momentum, fused=True)
    if compiled:
        teacher, student = torch.compile(teacher), torch.compile(student)

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


def measure(case: Case, *, device: torch.device) -> dict[str, Any]:
    """Train both ways and compare."""
    dataset = case.data.load()
    teacher, student = (_network(form, dataset).to(device) for form in (case.teacher, case.student))
    bare_teacher, bare_student = copy.deepcopy(teacher), copy.deepcopy(student)
    optimizer, layout = SGD(lr=0.01, momentum=0.9), list[bool]()

    def loader() -> Loader:
        augment = case.data.augment
        return Loader(dataset.train, batch=case.data.batch, augment=augment, seed=0, classes=10, device=device)

    def bare() -> Step:
        layout.append(_channels_last(student))  # while fit trains: afterwards it is as it was before
        return by_hand(bare_teacher, bare_student, optimizer, channels_last=layout[0], compiled=case.compiled)

    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    stream = Interleaved(loader, bare, block=case.block, wait=wait)
    models = {"teacher": teacher, "student": student}
    method = KD(temperature=TEMPERATURE, hard_weight=HARD_WEIGHT)
    distiller = Distiller(method, Classification(), models, loader().step(0)[0])
    with tempfile.TemporaryDirectory() as folder:
        fit(distiller, stream, _training(case, optimizer), folder=Path(folder), title=case.name)
    distiller.close()
    facts = {"channels_last": layout[0], "weights_differ_by": float(f"{_distance(student, bare_student):.1e}")}
    return {**_summary(case, stream), **facts}


def _network(form: tuple[str, Mapping[str, Any]], dataset: Dataset) -> nn.Module:
    torch.manual_seed(len(form[0]))
    shape = {"channels": dataset.channels, "height": dataset.height, "width": dataset.width}
    return Bridge(build(form[0], form[1], classes=len(dataset.classes), **shape), mean=dataset.mean, std=dataset.std)


def _channels_last(network: nn.Module) -> bool:
    kernels = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    return any(kernel.is_contiguous(memory_format=torch.channels_last) > kernel.is_contiguous() for kernel in kernels)


def _training(case: Case, optimizer: SGD) -> Train:
    speed = {"compile": True} if case.compiled else {}
    return Train(
        # One step more than is counted, because the last step of a training also saves it; the first two pairs warm up.
        length=f"{(case.blocks + 2) * case.block + 1} steps",
        optimizer=optimizer,
        schedule=Constant(),
        log=f"{case.block} steps",
        checkpoint="1000000 steps",
        evaluate="1000000 steps",
        **speed,
    )


def _distance(one: nn.Module, other: nn.Module) -> float:
    """The largest relative difference between the two students' weights; fit has done one step more."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).float().norm() / b.float().norm().clamp_min(1e-12)) for a, b in pairs)


def _summary(case: Case, stream: Interleaved) -> dict[str, Any]:
    kept = slice(2, case.blocks + 2)
    ratios = _ratios(stream.fit.wall[kept], stream.by_hand.wall[kept])
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "case": case.name,
        "batch": case.data.batch,
        "compiled": case.compiled,
        "block_steps": case.block,
        "blocks": case.blocks,
        "bare_ms": _median_ms(stream.by_hand.wall[kept]),
        "fit_ms": _median_ms(stream.fit.wall[kept]),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(quartiles[0], 4), round(quartiles[2], 4)],
        "bare_cpu_ms": _median_ms(stream.by_hand.cpu[kept]),
        "fit_cpu_ms": _median_ms(stream.fit.cpu[kept]),
        "cpu_ratio": round(statistics.median(_ratios(stream.fit.cpu[kept], stream.by_hand.cpu[kept])), 4),
        "batch_ms": _median_ms(stream.fit.made[kept]),
    }


def _ratios(fitted: list[float], bare: list[float]) -> list[float]:
    """Of neighbouring blocks."""
    return [one / other for one, other in zip(fitted, bare, strict=True)]


def _median_ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 4)


LINES: Lines = {
    "bare loop, ms a step": lambda case: f"{case['bare_ms']:.2f}",
    "fit, ms a step": lambda case: f"{case['fit_ms']:.2f}",
    "ratio of neighbouring blocks, median": lambda case: f"{case['ratio']:.3f}",
    "its quartiles": lambda case: "{:.3f} – {:.3f}".format(*case["ratio_quartiles"]),
    "bare loop, ms on the processor": lambda case: f"{case['bare_cpu_ms']:.2f}",
    "fit, ms on the processor": lambda case: f"{case['fit_cpu_ms']:.2f}",
    "ratio on the processor, median": lambda case: f"{case['cpu_ratio']:.3f}",
    "making a batch, ms (not counted)": lambda case: f"{case['batch_ms']:.2f}",
    "weights of convolutions": lambda case: "channels last" if case["channels_last"] else "plain",
}


def main() -> None:
    """Measure, print, write."""
    device = present_device()
    cases = cases_on(device)
    wishes = asked("What fit adds to a training step.", cases=list(cases), quick="two blocks a side")
    facts, found = machine(device), []
    for name in [wishes.only] if wishes.only else cases:
        case = replace(cases[name], block=min(cases[name].block, 5), blocks=2) if wishes.quick else cases[name]
        found.append(measure(case, device=device))
        if not wishes.quick:
            keep(RESULTS / f"step_overhead-{device.type}.json", facts, found[-1], order=list(cases))
    for start in range(0, len(found), 4):
        show("What fit adds to a step", found[start : start + 4], lambda case: case["case"], LINES)
    say_machine(facts)
    worst = max(found, key=lambda case: case["ratio"])
    say(f"Promised: a ratio of at most {PROMISE}. Largest here: {worst['ratio']:.3f}, of {worst['case']}.")


if __name__ == "__main__":
    main()
