"""MNIST and Fashion-MNIST in their own format, idx, packed or not.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998.
Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017,
arXiv 1708.07747.

An idx file: two zero bytes, one byte for the type (8 = unsigned byte), one for the number of axes, each axis' length
as a big-endian 32-bit integer, then the data.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from limbeck.core.errors import DataError
from limbeck.core.settings import settings
from limbeck.data.files import first_folder
from limbeck.data.parts import InMemory
from limbeck.data.source import Found, ImageData

_UNSIGNED_BYTE = 8
_PREFIXES = ("train", "t10k")
_SUFFIXES = {"images": "images-idx3-ubyte", "labels": "labels-idx1-ubyte"}


@settings
class Mnist(ImageData):
    """Handwritten digits: 60,000 training and 10,000 test images, grey, 28x28.

    Looked for in root, root/MNIST/raw, root/raw, root/mnist and root/mnist/raw; files may end in .gz.
    """

    title: ClassVar[str] = "mnist"
    places: ClassVar[tuple[str, ...]] = (".", "MNIST/raw", "raw", "mnist", "mnist/raw")
    names: ClassVar[tuple[str, ...]] = tuple(str(digit) for digit in range(10))

    def files(self) -> Mapping[str, Path]:
        """Images and labels of both parts, by their usual names without .gz."""
        patterns = [f"train-{_SUFFIXES['images']}", f"train-{_SUFFIXES['images']}.gz"]
        folder = first_folder(self.folder(), self.places, holding=patterns, what=self.title)
        wanted = [f"{prefix}-{suffix}" for prefix in _PREFIXES for suffix in _SUFFIXES.values()]
        return {name: _plain_or_packed(folder / name) for name in wanted}

    def find(self) -> Found:
        """Both parts.

        Raises:
            DataError: a file is missing or damaged.
        """
        files = self.files()
        train, test = (
            _part(files[f"{prefix}-{_SUFFIXES['images']}"], files[f"{prefix}-{_SUFFIXES['labels']}"], len(self.names))
            for prefix in _PREFIXES
        )
        return Found(train, None, test, self.names)


@settings
class FashionMNIST(Mnist):
    """Articles of clothing: 60,000 training and 10,000 test images, grey, 28x28.

    Looked for in root/FashionMNIST/raw, root/fashion_mnist, root/fashion_mnist/raw, root/raw and root. The files are
    called as MNIST's are, so a folder of MNIST files given as root cannot be told from this set.
    """

    title: ClassVar[str] = "fashion_mnist"
    places: ClassVar[tuple[str, ...]] = ("FashionMNIST/raw", "fashion_mnist", "fashion_mnist/raw", "raw", ".")
    names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


def read_idx(path: Path) -> UInt8[Tensor, "*axes"]:
    """One idx file of unsigned bytes, as a tensor of its axes.

    Args:
        path: plain, or packed if it ends in .gz.

    Raises:
        DataError: it cannot be read, is not such a file, or is shorter or longer than its header says.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path} is not an idx file of unsigned bytes: it starts with {data[:4].hex(' ')}")
    start = 4 + 4 * data[3]
    lengths = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    expected = start + int(np.prod(lengths))
    if len(data) != expected:
        raise DataError(f"{path} holds {len(data)} bytes, its header says {expected}; it is damaged, fetch it again")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=start).reshape(lengths).copy())


def _part(images: Path, labels: Path, classes: int) -> InMemory:
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or numbers.ndim != 1 or len(pixels) != len(numbers):
        raise DataError(f"{images} ({list(pixels.shape)}) and {labels} ({list(numbers.shape)}) do not belong together")
    if len(numbers) and int(numbers.max()) >= classes:
        raise DataError(f"{labels} holds label {int(numbers.max())}; expected 0 … {classes - 1}")
    return InMemory(pixels[:, None], numbers.long(), torch.arange(len(numbers)))


def _plain_or_packed(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    for candidate in (path, packed):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path} is missing, and so is {packed.name}; the set is incomplete, fetch that file again")
