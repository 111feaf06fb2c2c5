"""Training images a second: limbeck's set in memory against torchvision's pipeline, image by image.

CIFAR-10 with random crops (padding 4) and flips, in batches of 128, normalised float32 on both sides:

    limbeck       `Loader` on the decoded set, then the one multiply-add with which every network of limbeck normalises
    torchvision   RandomCrop, RandomHorizontalFlip, ToTensor, Normalize on PIL images, in a DataLoader with 2 workers

Both draw a new order for every epoch. They take turns in rounds of whole epochs, in the order limbeck, torchvision,
torchvision, limbeck and so on; the figure is the median ratio of neighbouring rounds. The workers stay alive from epoch
to epoch, so starting them is not counted. On a machine that has other work to do, threads wait for each other, which
slows the many short operations of the side in memory most: run it there with OMP_NUM_THREADS=1, and look at the fastest
round of each side, which stands beside the median.

    LIMBECK_DATA=... python benchmarks/loader.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from machine import machine
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Items
from torchvision import transforms

from limbeck.core.bridge import Bridge
from limbeck.data.augment import Augment
from limbeck.data.cifar import Cifar10
from limbeck.data.dataset import Dataset
from limbeck.data.loader import Loader

RESULTS = Path(__file__).parent / "results"
PROMISE = 10.0
BATCH, PADDING, SIDE, WORKERS = 128, 4, 32, 2
EPOCHS = 8
"""Of limbeck in a round: one is over too soon to be timed beside one of torchvision's."""

Stream = Callable[[], Iterator[Tensor]]


class Pictures(Items[tuple[Tensor, int]]):
    """The same images, one PIL image at a time, as `torchvision.datasets.CIFAR10` hands them out.

    Args:
        dataset: in memory.
        transform: PIL image to tensor.
    """

    def __init__(self, dataset: Dataset, transform: Callable[[Image.Image], Tensor]) -> None:
        part = dataset.train
        self._pixels = part.pixels_at(torch.arange(len(part))).permute(0, 2, 3, 1).contiguous().numpy()
        self._labels, self._transform = part.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


def in_memory(dataset: Dataset) -> Stream:
    """Epochs of limbeck's batches."""
    loader = Loader(dataset.train, batch=BATCH, augment=Augment(crop=PADDING, flip=True), seed=0, classes=10)
    normalise = Bridge(torch.nn.Identity(), mean=dataset.mean, std=dataset.std)
    stream = loader.batches()

    def epoch() -> Iterator[Tensor]:
        for (batch,) in islice(stream, loader.steps_per_epoch):
            yield normalise(batch.images)

    return epoch


def image_by_image(dataset: Dataset) -> Stream:
    """Epochs of torchvision's batches."""
    steps = [
        transforms.RandomCrop(SIDE, padding=PADDING),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(dataset.mean, dataset.std),
    ]
    pictures = Pictures(dataset, transforms.Compose(steps))
    loader = DataLoader(
        pictures, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )

    def epoch() -> Iterator[Tensor]:
        for images, _ in loader:
            yield images

    return epoch


def images_per_second(stream: Stream, *, epochs: int) -> float:
    """Over whole epochs."""
    count, began = 0, time.perf_counter()
    for _ in range(epochs):
        for images in stream():
            count += len(images)
    return count / (time.perf_counter() - began)


def measure(dataset: Dataset, *, rounds: int) -> dict[str, Any]:
    """Take turns; the first round of each side warms up."""
    ours, theirs = in_memory(dataset), image_by_image(dataset)
    _require_alike(next(ours()), next(theirs()))
    sides = {
        "limbeck": lambda: images_per_second(ours, epochs=EPOCHS),
        "torchvision": lambda: images_per_second(theirs, epochs=1),
    }
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sorted(sides, reverse=bool(number % 2)):
            speeds[name].append(sides[name]())
    ratios = [one / other for one, other in zip(speeds["limbeck"][1:], speeds["torchvision"][1:], strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "images": len(dataset.train),
        "batch": BATCH,
        "workers": WORKERS,
        "rounds": rounds,
        **{f"{name}_images_per_second": round(statistics.median(speeds[name][1:])) for name in sides},
        **{f"{name}_fastest_round": round(max(speeds[name][1:])) for name in sides},
        "ratio": round(statistics.median(ratios), 2),
        "ratio_quartiles": [round(quartiles[0], 2), round(quartiles[2], 2)],
    }


def _require_alike(one: Tensor, other: Tensor) -> None:
    """Equal shape and type, and normalised by the same figures."""
    if one.shape != other.shape or one.dtype != other.dtype or abs(float(one.std() - other.std())) > 0.1:
        raise RuntimeError(
            f"the sides differ: {one.shape} {one.dtype} {one.std()}, {other.shape} {other.dtype} {other.std()}"
        )


def show(found: dict[str, Any], facts: dict[str, Any]) -> None:
    """The table."""
    table = Table(
        title=f"Training images a second: CIFAR-10, crop and flip, batch {found['batch']}",
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    table.add_column("")
    table.add_column("median", justify="right")
    table.add_column("fastest round", justify="right")
    for name, label in (("limbeck", "limbeck, in memory"), ("torchvision", f"torchvision, {found['workers']} workers")):
        table.add_row(label, f"{found[f'{name}_images_per_second']:,}", f"{found[f'{name}_fastest_round']:,}")
    fastest = found["limbeck_fastest_round"] / found["torchvision_fastest_round"]
    table.add_row("ratio (of neighbouring rounds)", f"{found['ratio']:.1f}", f"{fastest:.1f}")
    table.add_row("its quartiles", "{:.1f} – {:.1f}".format(*found["ratio_quartiles"]))
    console = Console()
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)
    console.print(f"Promised: a ratio of at least {PROMISE:.0f}. Here: {found['ratio']:.1f}.", highlight=False)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Images a second that reach the training.")
    parser.add_argument("--quick", action="store_true", help="3 rounds on 10,000 images; nothing is written")
    quick = parser.parse_args().quick
    dataset = Cifar10(validation=0, subset=10000 if quick else None).load()
    found = measure(dataset, rounds=3 if quick else 11)
    facts = machine(torch.device("cpu"))
    show(found, facts)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / "loader-cpu.json"
        path.write_text(json.dumps({"machine": facts, "found": found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
