from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.arrow import Datasets

from .making import encoded, pixels_of, write_table

datasets = pytest.importorskip("datasets")
NAMES = ["ant", "cat"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    write_table(tmp_path / "pets/data/train-00000-of-00001.parquet", [0, 1] * 10, names=NAMES)
    write_table(tmp_path / "pets/data/test-00000-of-00001.parquet", [1, 1, 0], names=NAMES, first=50)
    return tmp_path


def test_a_folder_below_the_root(root: Path) -> None:
    data = Datasets(path="pets").load()
    assert data.classes == ("ant", "cat")
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 3)
    assert torch.equal(data.test.pixels, torch.stack([pixels_of(number) for number in (50, 51, 52)]))
    for row, number in enumerate(data.train.ids.tolist()):
        assert torch.equal(data.train.pixels[row], pixels_of(number))
    assert data.description["name"] == "pets"


def test_one_file(root: Path) -> None:
    data = Datasets(path=str(root / "pets/data/train-00000-of-00001.parquet")).load()
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 2, 4)


def test_a_saved_set(root: Path) -> None:
    features = datasets.Features({"pic": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES)})
    content = {"pic": [{"bytes": encoded(row), "path": None} for row in range(6)], "kind": [0, 1] * 3}
    split = datasets.Dataset.from_dict(content, features=features)
    datasets.DatasetDict({"train": split, "dev": split}).save_to_disk(root / "saved")
    data = Datasets(path="saved", image="pic", label="kind").load()
    assert torch.equal(data.train.pixels[5], pixels_of(5))
    assert len(data.validation) == 6
    assert data.validation.ids.tolist() == list(range(6, 12))


def test_splits_can_be_chosen(root: Path) -> None:
    data = Datasets(path="pets", splits={"train": "test", "test": "train"}, validation=0).load()
    assert (len(data.train), len(data.test)) == (3, 20)


def test_the_fingerprint_follows_the_files(root: Path) -> None:
    before = Datasets(path="pets").fingerprint()
    assert Datasets(path=str(root / "pets")).fingerprint() == before
    write_table(root / "pets/data/test-00000-of-00001.parquet", [1, 0, 0], names=NAMES, first=50)
    assert Datasets(path="pets").fingerprint() != before


@pytest.mark.parametrize(
    ("path", "message"),
    [("./nowhere", "does not exist"), ("gone.parquet", "does not exist"), ("empty", "holds neither")],
)
def test_wrong_paths(root: Path, path: str, message: str) -> None:
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        Datasets(path=path).load()


def test_a_hub_name_is_asked_for_at_the_hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Datasets(path="pets")._tables()
    asked = []

    def load_dataset(name: str, configuration: str | None) -> object:
        asked.append((name, configuration))
        return local

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda name, configuration: SimpleNamespace(hash="1"))
    there = Datasets(path="someone/pets", configuration="plain")
    assert len(there.load().train) == 18
    assert asked == [("someone/pets", "plain")]
    first = there.fingerprint()
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda name, configuration: SimpleNamespace(hash="2"))
    assert there.fingerprint() != first


def test_a_hub_that_is_out_of_reach(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, configuration: str | None) -> object:
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"neither a local file or folder .* hub: offline"):
        Datasets(path="someone/pets").load()


@pytest.mark.parametrize("known", [True, False], ids=["a folder of data sets", "none"])
def test_a_name_without_an_owner_is_never_asked_for_at_the_hub(
    known: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(name: str, configuration: str | None) -> object:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset)
    if not known:
        monkeypatch.delenv("LIMBECK_DATA", raising=False)
    with pytest.raises(DataError, match=r"no folder 'gone' here.* LIMBECK_DATA.* OWNER/NAME"):
        Datasets(path="gone").load()
    with pytest.raises(DataError, match="OWNER/NAME"):
        Datasets(path="gone").fingerprint()


def test_a_configuration_is_a_sub_folder(root: Path) -> None:
    assert len(Datasets(path="pets", configuration="data", validation=0).load().train) == 20
    with pytest.raises(DataError, match="has no folder 'other'"):
        Datasets(path="pets", configuration="other").load()


def test_real_tiny_imagenet(data_root: Path) -> None:
    chosen = Datasets(root=str(data_root), path="tinyimagenet100", splits={"test": "validation"}, subset=500)
    data = chosen.load()
    assert (len(data.train), len(data.validation), len(data.test)) == (450, 50, 5000)
    assert (data.channels, data.height, data.width, len(data.classes)) == (3, 64, 64, 100)
