from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.idx import FashionMNIST, Mnist, read_idx


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder: Path, *, packed: bool, count: int = 30) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28))
    for prefix in ("train", "t10k"):
        for name, data in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", np.arange(count) % 10)):
            path = folder / f"{prefix}-{name}{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(data)) if packed else idx(data))
    return images


@pytest.mark.parametrize("place", ["", "MNIST/raw", "raw", "mnist", "mnist/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_is_found_and_read(tmp_path: Path, place: str, packed: bool) -> None:
    images = write(tmp_path / place, packed=packed)
    found = Mnist(root=str(tmp_path)).find()
    assert torch.equal(found.train.pixels[:, 0], torch.from_numpy(images).to(torch.uint8))
    assert found.train.labels.tolist() == [number % 10 for number in range(30)]
    assert len(found.test) == 30


def test_the_two_sets_are_not_confused(tmp_path: Path) -> None:
    write(tmp_path / "MNIST/raw", packed=True, count=20)
    with pytest.raises(DataError, match="fashion_mnist not found"):
        FashionMNIST(root=str(tmp_path)).find()
    write(tmp_path / "FashionMNIST/raw", packed=True, count=40)
    assert len(FashionMNIST(root=str(tmp_path)).find().train) == 40
    assert len(Mnist(root=str(tmp_path)).find().train) == 20
    assert FashionMNIST(root=str(tmp_path)).find().classes[9] == "Ankle boot"


def test_any_number_of_axes(tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(array))
    assert torch.equal(read_idx(tmp_path / "a"), torch.from_numpy(array).to(torch.uint8))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "holds 4719 bytes, its header says 4720"),
        (lambda data: data + b"0", "holds 4721 bytes"),
        (lambda data: b"<html>", "not an idx file"),
        (lambda data: b"", "not an idx file"),
        (lambda data: data[:7], "damaged"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage, message: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(damage(idx(np.zeros((6, 28, 28)))))
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_a_cut_archive_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (6, 28, 28))))
    (tmp_path / "a.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"cannot read .*a\.gz"):
        read_idx(tmp_path / "a.gz")


def test_an_incomplete_set_names_the_missing_file(tmp_path: Path) -> None:
    write(tmp_path, packed=True)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is missing"):
        Mnist(root=str(tmp_path)).find()


def test_labels_must_fit(tmp_path: Path) -> None:
    write(tmp_path, packed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(29)))
    with pytest.raises(DataError, match="do not belong together"):
        Mnist(root=str(tmp_path)).find()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(30)))
    with pytest.raises(DataError, match=r"label 29; expected 0 … 9"):
        Mnist(root=str(tmp_path)).find()


def test_real_mnist(data_root: Path) -> None:
    found = Mnist(root=str(data_root)).find()
    assert (len(found.train), len(found.test)) == (60000, 10000)
    assert abs(found.train.pixels.double().mean().item() / 255 - 0.1307) < 1e-4
    assert found.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
