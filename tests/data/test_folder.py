from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.data.folder import Folder

from .making import picture, pixels_of, write_classes


def test_three_splits(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"cat": 6, "ant": 4})
    write_classes(tmp_path / "val", {"ant": 2, "cat": 1}, first=20)
    write_classes(tmp_path / "test", {"cat": 3}, first=30)
    data = Folder(root=str(tmp_path)).load()
    assert data.classes == ("ant", "cat")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 6
    assert torch.equal(data.train.pixels[0], pixels_of(6))
    assert torch.equal(data.validation.pixels, torch.stack([pixels_of(number) for number in (20, 21, 22)]))
    assert data.test.labels.tolist() == [1, 1, 1]
    assert data.description["name"] == tmp_path.name


def test_class_folders_alone(tmp_path: Path) -> None:
    write_classes(tmp_path, {"ant": 10, "cat": 10})
    data = Folder(root=str(tmp_path)).load()
    assert data.test.labels.bincount().tolist() == [2, 2]
    assert len(data.train) + len(data.validation) == 16
    assert data.description["note"] == "4 of its 20 images, stratified, are the test part"
    assert Folder(root=str(tmp_path), test=0).load().test is None


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_classes(tmp_path, {"car": 10, "train": 10})
    assert Folder(root=str(tmp_path)).load().classes == ("car", "train")


def test_other_files_and_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    write_classes(tmp_path, {"ant": 5, "cat": 5})
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / "more").mkdir()
    picture(50).save(tmp_path / "cat" / "more" / "x.JPEG")
    assert len(Folder(root=str(tmp_path)).files()) == 11


def test_validation_as_test(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"ant": 10, "cat": 10})
    write_classes(tmp_path / "val", {"ant": 2, "cat": 2}, first=40)
    data = Folder(root=str(tmp_path), splits={"test": "val"}).load()
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 4)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ({"ant": 2, "cat": 0}, {}, "cat holds no image"),
        ({"ant": 2}, {"bee": 1}, "bee is a class that the training folder does not have"),
    ],
)
def test_wrong_folders(tmp_path: Path, train: dict[str, int], test: dict[str, int], message: str) -> None:
    write_classes(tmp_path / "train", train)
    write_classes(tmp_path / "test", test, first=10)
    with pytest.raises(DataError, match=message):
        Folder(root=str(tmp_path)).load()


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class folders"):
        Folder(root=str(tmp_path)).load()


def test_the_fingerprint_sees_every_image(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"ant": 3})
    write_classes(tmp_path / "test", {"ant": 3}, first=10)
    before = Folder(root=str(tmp_path)).fingerprint()
    picture(99).save(tmp_path / "test" / "ant" / "0011.png")
    assert Folder(root=str(tmp_path)).fingerprint() != before


def test_one_class_is_none_to_tell_apart(tmp_path: Path) -> None:
    write_classes(tmp_path, {"ant": 6})
    with pytest.raises(DataError, match="expected at least two classes to tell apart, got ant"):
        Folder(root=str(tmp_path)).load()


def test_what_is_called_like_an_image_but_is_none_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path, {"ant": 5, "cat": 5})
    (tmp_path / "ant" / "more.png").mkdir()
    with pytest.raises(DataError, match=r"more.png is called like an image but is a folder; rename or remove it"):
        Folder(root=str(tmp_path)).load()
    (tmp_path / "ant" / "more.png").rmdir()
    (tmp_path / "cat" / "gone.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(DataError, match=r"gone.jpg is called like an image but is a link that leads nowhere"):
        Folder(root=str(tmp_path)).fingerprint()
