from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.images import Shape, decoded
from limbeck.data.tables import Rows, class_labels, class_names, opened, table_files

from .making import encoded, pixels_of, write_table

datasets = pytest.importorskip("datasets")


def test_splits_follow_from_names_and_folders(tmp_path: Path) -> None:
    names = [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
    ]
    for name in [*names, "validation.arrow", "notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = table_files(tmp_path)
    assert {split: len(files) for split, files in found.items()} == {"train": 2, "test": 1, "validation": 1}


def test_a_folder_per_split(tmp_path: Path) -> None:
    for name in ("train/part-0.parquet", "train/part-1.parquet", "test/part-0.parquet", "extra-0-of-1.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert {split: len(files) for split, files in table_files(tmp_path).items()} == {"train": 2, "test": 1, "extra": 1}


def test_two_configurations_are_not_mixed(tmp_path: Path) -> None:
    for name in ("small/train-0.parquet", "large/train-0.parquet"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"several folders: large, small.*data\.configuration"):
        table_files(tmp_path)


def test_images_and_labels_come_back(tmp_path: Path) -> None:
    write_table(tmp_path / "train-0.parquet", [1, 0, 1], names=["ant", "cat"])
    write_table(tmp_path / "train-1.parquet", [0], names=["ant", "cat"], first=3)
    table = opened(table_files(tmp_path))["train"]
    rows = Rows(table, "image", name="t")
    got = decoded(rows, torch.tensor([3, 0]), shape=Shape(3, 6, 6), resize=False)
    assert torch.equal(got, torch.stack([pixels_of(3), pixels_of(0)]))
    assert class_names(table, "label", name="t") == ("ant", "cat")
    assert class_labels(table, "label", ("ant", "cat"), name="t").tolist() == [1, 0, 1, 0]


def test_bytes_without_a_description_are_images_too(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"image": [encoded(4)], "label": ["cat"]}), tmp_path / "train.parquet")
    table = opened(table_files(tmp_path))["train"]
    got = decoded(Rows(table, "image", name="t"), torch.tensor([0]), shape=Shape(3, 6, 6), resize=False)
    assert torch.equal(got[0], pixels_of(4))


def test_text_and_numbers_are_labels() -> None:
    text = datasets.Dataset.from_dict({"label": ["cat", "ant", None, "cat"]})
    assert class_names(text, "label", name="t") == ("ant", "cat")
    assert class_labels(text, "label", ("ant", "cat"), name="t").tolist() == [1, 0, -100, 1]
    numbers = datasets.Dataset.from_dict({"label": [2, 0, -1]})
    assert class_names(numbers, "label", name="t") == ("0", "1", "2")
    assert class_labels(numbers, "label", ("0", "1", "2"), name="t").tolist() == [2, 0, -100]


def test_wrong_labels_are_named() -> None:
    with pytest.raises(DataError, match=r"t, row 1: label 'cow' is none of the training split's 2; close: cat|known"):
        class_labels(datasets.Dataset.from_dict({"label": ["cat", "cow"]}), "label", ("ant", "cat"), name="t")
    with pytest.raises(DataError, match=r"row 0: label 5 is none .* expected 0 … 1"):
        class_labels(datasets.Dataset.from_dict({"label": [5]}), "label", ("ant", "cat"), name="t")
    with pytest.raises(DataError, match="expected class names or whole numbers"):
        class_names(datasets.Dataset.from_dict({"label": [0.5]}), "label", name="t")


def test_wrong_columns_get_close_names() -> None:
    table = datasets.Dataset.from_dict({"image": [1, 2], "label": [0, 1]})
    with pytest.raises(DataError, match=r"data\.image: t has no column 'images'; close: image"):
        Rows(table, "images", name="t")
    with pytest.raises(DataError, match=r"data\.label: t has no column 'lable'; close: label"):
        class_names(table, "lable", name="t")
    with pytest.raises(DataError, match="not encoded images"):
        Rows(table, "image", name="t")


def test_damage_is_named_with_its_row(tmp_path: Path) -> None:
    write_table(tmp_path / "train.parquet", [0, 1])
    table = opened(table_files(tmp_path))["train"].to_list()
    table[1]["image"] = {"bytes": b"broken", "path": None}
    rows = Rows(datasets.Dataset.from_list(table), "image", name="set (train)")
    with pytest.raises(DataError, match=r"set \(train\), row 1 is damaged"):
        decoded(rows, torch.arange(2), shape=Shape(3, 6, 6), resize=False)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"cannot read .*train\.parquet"):
        opened(table_files(tmp_path))


def test_an_empty_cell_is_named() -> None:
    features = datasets.Features({"image": datasets.Image()})
    table = datasets.Dataset.from_dict({"image": [{"bytes": encoded(0), "path": None}, None]}, features=features)
    with pytest.raises(DataError, match=r"t, row 1: column 'image' is empty"):
        list(Rows(table, "image", name="t").read([0, 1]))


def test_arrow_files_are_mapped(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"label": [3, 1]}).save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    file.rename(tmp_path / "train.arrow")
    assert opened({"train": [tmp_path / "train.arrow"]})["train"]["label"][:] == [3, 1]
