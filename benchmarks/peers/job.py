"""What the peers share: one job, as `peers.py` writes it into a folder.

    job.json              names, sizes, hyper-parameters
    images.npz            train and test, uint8 [n h w c] or [n h w], with labels
    teacher.safetensors   the trained teacher
    student.safetensors   the student's first weights

The networks are limbeck's, so that all sides train the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from limbeck.models.build import build
from limbeck.models.weights import load_weights


class Pictures(Dataset[tuple[Tensor, int]]):
    """One PIL image at a time, as the data sets of torchvision hand them out.

    Args:
        folder: of the job.
        split: which images.
        transform: PIL image to tensor.
    """

    def __init__(
        self, folder: Path, split: Literal["train", "test"], transform: Callable[[Image.Image], Tensor]
    ) -> None:
        with np.load(folder / "images.npz") as arrays:
            self._pixels, self._labels = arrays[f"{split}_images"], arrays[f"{split}_labels"].tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


def present_device() -> torch.device:
    """The accelerator, if there is one: limbeck trains there too."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read_job(folder: Path) -> dict[str, Any]:
    """The job of a folder."""
    job: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    return job


def network(folder: Path, role: Literal["teacher", "student"], *, weights: Path | None = None) -> nn.Module:
    """The network of a role with the job's weights for it, or with others."""
    job = read_job(folder)
    form = job[role]
    model = build(form["name"], form["arguments"], classes=job["classes"], **job["shape"])
    load_weights(model, weights or folder / f"{role}.safetensors")
    return model


def pictures(folder: Path) -> tuple[Pictures, Pictures]:
    """Train and test with torchvision's transforms, image by image."""
    job = read_job(folder)
    height, padding = job["shape"]["height"], job["augment"].get("crop", 0)
    vary = [transforms.RandomCrop(height, padding=padding)] if padding else []
    vary += [transforms.RandomHorizontalFlip()] if job["augment"].get("flip") else []
    plain = [transforms.ToTensor(), transforms.Normalize(job["mean"], job["std"])]
    return (
        Pictures(folder, "train", transforms.Compose([*vary, *plain])),
        Pictures(folder, "test", transforms.Compose(plain)),
    )


def write_seconds(folder: Path, name: str, seconds: float) -> None:
    """Leave how long the training itself took."""
    (folder / f"{name}.json").write_text(json.dumps({"seconds": seconds}), encoding="utf-8")


@torch.no_grad()
def accuracy(model: nn.Module, test: Pictures, *, batch: int, workers: int) -> float:
    """Share of the test images that are classified right."""
    model.eval()
    device, right = present_device(), 0
    for images, labels in DataLoader(test, batch_size=batch, num_workers=workers):
        right += (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
    return right / len(test)
