from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.cifar import Cifar10, Cifar100

from .making import write_table

TEN = [f"class {number}" for number in range(10)]
HUNDRED = [f"class{number}" for number in range(100)]


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def write_pickles(folder: Path) -> None:
    folder.mkdir(parents=True)
    for seed, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]):
        write_pickle(folder / name, {"data": images(10, seed), "labels": list(range(10))})
    write_pickle(folder / "test_batch", {"data": images(10, 9), "labels": list(range(10))})
    write_pickle(folder / "batches.meta", {"label_names": TEN})


def write_pickle(path: Path, content: dict) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_binaries(folder: Path) -> None:
    folder.mkdir(parents=True)
    labels = np.arange(10, dtype=np.uint8)[:, None]
    for seed in range(5):
        (folder / f"data_batch_{seed + 1}.bin").write_bytes(np.hstack([labels, images(10, seed)]).tobytes())
    (folder / "test_batch.bin").write_bytes(np.hstack([labels, images(10, 9)]).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(name.replace(" ", "") for name in TEN) + "\n\n")


@pytest.mark.parametrize("below", ["", "cifar10"])
@pytest.mark.parametrize("kind", ["py", "bin"])
def test_both_original_layouts(tmp_path: Path, below: str, kind: str) -> None:
    (write_pickles if kind == "py" else write_binaries)(tmp_path / below / f"cifar-10-batches-{kind}")
    found = Cifar10(root=str(tmp_path)).find()
    assert torch.equal(found.train.pixels[10:20].flatten(1), torch.from_numpy(images(10, 1)))
    assert torch.equal(found.test.pixels.flatten(1), torch.from_numpy(images(10, 9)))
    assert found.train.labels.tolist() == list(range(10)) * 5
    assert found.train.ids.tolist() == list(range(50))
    assert found.classes[3].replace(" ", "") == "class3"


def test_parquet(tmp_path: Path) -> None:
    folder = tmp_path / "cifar10/data"
    write_table(folder / "train-00000-of-00001.parquet", list(range(10)) * 2, names=TEN)
    write_table(folder / "test-00000-of-00001.parquet", [3, 1], names=TEN, first=30)
    data = Cifar10(root=str(tmp_path), validation=0).load()
    assert data.train.labels.tolist() == list(range(10)) * 2
    assert len(data.test) == 2
    assert data.channels == 3


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        content = {"data": images(100, 0), "fine_labels": list(range(100)), "coarse_labels": [0] * 100}
        write_pickle(folder / name, content)
    write_pickle(folder / "meta", {"fine_label_names": HUNDRED, "coarse_label_names": TEN})
    found = Cifar100(root=str(tmp_path)).find()
    assert found.train.labels.tolist() == list(range(100))
    assert found.classes == tuple(HUNDRED)


def test_cifar100_binary_has_two_labels(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    coarse, fine = np.zeros((100, 1), np.uint8), np.arange(100, dtype=np.uint8)[:, None]
    for name in ("train", "test"):
        (folder / f"{name}.bin").write_bytes(np.hstack([coarse, fine, images(100, 1)]).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(HUNDRED))
    found = Cifar100(root=str(tmp_path)).find()
    assert found.test.labels.tolist() == list(range(100))
    assert torch.equal(found.train.pixels.flatten(1), torch.from_numpy(images(100, 1)))


def test_an_incomplete_set_names_what_is_missing(tmp_path: Path) -> None:
    write_pickles(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py/data_batch_4").unlink()
    with pytest.raises(DataError, match="is incomplete: data_batch_4 missing"):
        Cifar10(root=str(tmp_path)).find()
    write_table(tmp_path / "other/cifar10/train.parquet", [0])
    with pytest.raises(DataError, match=r"test\.parquet missing"):
        Cifar10(root=str(tmp_path / "other")).find()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": images(10, 0)}, "expected uint8 'data'"),
        ({"data": images(10, 0)[:, :99], "labels": list(range(10))}, "expected uint8 'data'"),
        ({"data": images(10, 0), "labels": list(range(9))}, "labels do not fit"),
        ({"data": images(10, 0), "labels": list(range(1, 11))}, "labels do not fit"),
    ],
)
def test_damaged_pickles(tmp_path: Path, content: dict, message: str) -> None:
    write_pickles(tmp_path / "cifar-10-batches-py")
    write_pickle(tmp_path / "cifar-10-batches-py/data_batch_2", content)
    with pytest.raises(DataError, match=message):
        Cifar10(root=str(tmp_path)).find()


def test_a_cut_binary_is_named(tmp_path: Path) -> None:
    write_binaries(tmp_path / "cifar-10-batches-bin")
    path = tmp_path / "cifar-10-batches-bin/data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"data_batch_3\.bin holds 30725 bytes"):
        Cifar10(root=str(tmp_path)).find()


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar100 not found: .*LIMBECK_DATA"):
        Cifar100(root=str(tmp_path)).find()


def test_real_cifar10(data_root: Path) -> None:
    data = Cifar10(root=str(data_root), subset=600).load()
    assert (len(data.train), len(data.validation), len(data.test)) == (540, 60, 10000)
    assert data.classes[9] == "truck"
    assert data.test.labels.bincount().tolist() == [1000] * 10
