"""The 1,797 handwritten digits, 8x8, that scikit-learn ships: real data without any download.

Alpaydin, Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test part).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from limbeck.core.settings import settings
from limbeck.data.parts import InMemory
from limbeck.data.source import Found, ImageData, cut

TEST = 597


@settings
class Digits(ImageData):
    """scikit-learn's digits: 10 classes, grey, 8x8.

    The source has no split: 597 images, stratified by a fixed seed, are the test part, and 1,200 the training part.
    Values 0 … 16 become 0 … 255 (times 255/16, rounded). `root` is not needed.
    """

    title: ClassVar[str] = "digits"

    def files(self) -> Mapping[str, Path]:
        """None of its own: the images come with scikit-learn."""
        return {}

    def fingerprint(self) -> str:
        """Identifies the data by the pixels and labels themselves."""
        part = self._all()
        return hashlib.sha256(part.pixels.numpy().tobytes() + part.labels.numpy().tobytes()).hexdigest()

    def find(self) -> Found:
        """1,200 training and 597 test images."""
        train, test = cut(self._all(), TEST, key="test")
        note = "597 of scikit-learn's 1,797 images, stratified, are the test part"
        return Found(train, None, test, tuple(str(digit) for digit in range(10)), note)

    def _all(self) -> InMemory:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        scaled = torch.from_numpy(images).mul(255 / 16).round().to(torch.uint8)
        return InMemory(scaled.view(-1, 1, 8, 8), torch.from_numpy(labels).long(), torch.arange(len(labels)))
