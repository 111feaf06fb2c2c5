"""Little parts, folders and tables of images for tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limbeck.data.parts import InMemory


def little_part(
    count: int = 40, *, channels: int = 3, side: int = 8, classes: int = 4, first_id: int = 100
) -> InMemory:
    """Random images without any black pixel, so that what augmentation brings in can be told."""
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(1, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)
    return InMemory(pixels, torch.arange(count) % classes, torch.arange(first_id, first_id + count))


def picture(number: int, *, size: tuple[int, int] = (6, 6), mode: str = "RGB") -> Image.Image:
    """An image whose every pixel follows from its number."""
    width, height = size
    bands = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(bands).convert(mode)


def encoded(number: int, *, size: tuple[int, int] = (6, 6), mode: str = "RGB") -> bytes:
    """The same image as the bytes of a PNG file."""
    file = io.BytesIO()
    picture(number, size=size, mode=mode).save(file, format="PNG")
    return file.getvalue()


def pixels_of(number: int, *, size: tuple[int, int] = (6, 6)) -> Tensor:
    """The same image as uint8 [3 h w]."""
    return torch.from_numpy(np.asarray(picture(number, size=size)).transpose(2, 0, 1).copy())


def write_classes(folder: Path, counts: dict[str, int], *, first: int = 0, mode: str = "RGB") -> None:
    """folder/<class>/<number>.png; numbers go on from class to class, in the order given."""
    number = first
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for _ in range(count):
            picture(number, mode=mode).save(folder / name / f"{number:04d}.png")
            number += 1


def write_table(path: Path, labels: Sequence[object], *, names: Sequence[str] | None = None, first: int = 0) -> None:
    """A Parquet file with columns image and label, as `datasets` writes it."""
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encoded(first + row), "path": None} for row in range(len(labels))]
    table = datasets.Dataset.from_dict({"image": images, "label": list(labels)})
    table = table.cast_column("image", datasets.Image())
    if names:
        table = table.cast_column("label", datasets.ClassLabel(names=list(names)))
    table.to_parquet(path)
