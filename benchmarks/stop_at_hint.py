"""What it saves that a frozen teacher which is needed up to a hint only stops there.

The same method is stepped twice in one process: `hint` with one pair of layers, whose teacher stops at the tap, and the
same inside `compose`, where every network runs to its end. ResNet-56 teaches ResNet-20 on CIFAR-10 images; both sides
take turns in blocks of steps, and the figure is the median ratio of neighbouring blocks.

    LIMBECK_DATA=... python benchmarks/stop_at_hint.py [--quick] [--only layer1]
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import machine
from outcome import RESULTS, Lines, asked, keep, present_device, say_machine, show

from limbeck import Classification, Distiller
from limbeck.core.bridge import Bridge
from limbeck.core.method import Method
from limbeck.core.pairs import Pair
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.loader import Loader
from limbeck.methods.compose import Compose
from limbeck.methods.hint import Hint
from limbeck.models.build import build

ROLES = {"student": "resnet20", "teacher": "resnet56"}
LAYERS = ("layer1", "layer2", "layer3")
BATCH, BLOCK, BLOCKS = 64, 3, 12


def measure(
    layer: str, batches: list[Any], *, mean: Any, std: Any, device: torch.device, blocks: int
) -> dict[str, Any]:
    """Milliseconds of a step with the teacher stopped and whole."""
    hint = Hint(taps=(Pair(student=layer, teacher=layer),))
    networks = {role: build(name, {}, classes=10, channels=3, height=32, width=32) for role, name in ROLES.items()}
    bridged = {role: Bridge(network, mean=mean, std=std) for role, network in networks.items()}
    sides = {
        side: stepper(method, copy.deepcopy(bridged), batches[0], device)
        for side, method in (("stopped", hint), ("whole", Compose(methods=(hint,))))
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(blocks + 1):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            for batch in batches:
                sides[side](batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[side].append((time.perf_counter() - began) / len(batches))
    ratios = [whole / stopped for whole, stopped in zip(seconds["whole"][1:], seconds["stopped"][1:], strict=True)]
    return {
        "case": layer,
        "batch": BATCH,
        "stopped_ms": round(1000 * statistics.median(seconds["stopped"][1:]), 2),
        "whole_ms": round(1000 * statistics.median(seconds["whole"][1:]), 2),
        "ratio": round(statistics.median(ratios), 3),
    }


def stepper(method: Method, models: dict[str, Any], example: Any, device: torch.device) -> Callable[[Any], None]:
    """A training step of a method."""
    placed = {role: model.to(device, memory_format=torch.channels_last) for role, model in models.items()}
    distiller = Distiller(method, Classification(), placed, example).train()
    trained = [p for p in distiller.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, fused=True)

    def step(batch: Any) -> None:
        sum(distiller(batch).values()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


LINES: Lines = {
    "teacher stops, ms a step": lambda case: f"{case['stopped_ms']:.1f}",
    "teacher runs to its end, ms a step": lambda case: f"{case['whole_ms']:.1f}",
    "whole / stopped, median of neighbouring blocks": lambda case: f"{case['ratio']:.2f}",
}


def main() -> None:
    """Measure, print, write."""
    device = present_device()
    wishes = asked("A teacher that stops at a hint.", cases=LAYERS, quick="two blocks")
    dataset = Cifar10(batch=BATCH, validation=0, augment=Augment(crop=4, flip=True)).load()
    loader = Loader(dataset.train, batch=BATCH, augment=Augment(crop=4, flip=True), seed=0, classes=10, device=device)
    stream = loader.batches()
    batches = [next(stream)[0] for _ in range(BLOCK)]
    facts, found = machine(device), []
    for layer in [wishes.only] if wishes.only else LAYERS:
        blocks = 2 if wishes.quick else BLOCKS
        found.append(measure(layer, batches, mean=dataset.mean, std=dataset.std, device=device, blocks=blocks))
        if not wishes.quick:
            keep(RESULTS / f"stop_at_hint-{device.type}.json", facts, found[-1], order=LAYERS)
    show("A step of `hint` with one pair", found, lambda case: f"up to {case['case']}", LINES)
    say_machine(facts)


if __name__ == "__main__":
    main()
