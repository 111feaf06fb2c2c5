"""Images in folders named after their classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from limbeck.core.errors import DataError, close
from limbeck.core.settings import settings
from limbeck.data.images import Files
from limbeck.data.pictures import ALIASES, Labelled, Pictures, Role, assembled
from limbeck.data.source import Found

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@settings
class Folder(Pictures):
    """root/train/<class>/*.jpg, and the same under validation (or val) and test; or root/<class>/*.jpg alone.

    Classes are the sub-folders of train that are not hidden, sorted by name; images may lie deeper. With no other
    split, the field `test` says what is split off. Grey and 16-bit images are accepted; photographs are turned upright.
    """

    title: ClassVar[str] = "folder"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder().name

    def files(self) -> Mapping[str, Path]:
        """Every image, by its path below root."""
        root = self.folder()
        return {
            path.relative_to(root).as_posix(): path
            for folder in self._folders().values()
            for images in _classes_in(folder).values()
            for path in images
        }

    def find(self) -> Found:
        """The images of each split.

        Raises:
            DataError: no class folders, a class without images, a class that train does not have, or a folder or
                broken link that is called like an image.
        """
        folders = self._folders()
        classes = tuple(_classes_in(folders["train"]))
        if not classes:
            raise DataError(f"{folders['train']} has no class folders; expected <class>/<image> below it")
        splits = {role: _labelled(folder, classes) for role, folder in folders.items()}
        return assembled(
            splits, classes, title=self.name, size=self.size, channels=self.channels, held_out=self.held_out
        )

    def _folders(self) -> dict[Role, Path]:
        root = self.folder()
        available = [path.name for path in _subfolders(root)]
        # a class, too, may be called train: a split is a folder of folders
        usual = any(name in available and _subfolders(root / name) for name in ALIASES["train"])
        if not usual and not self.splits:
            return {"train": root}
        return {role: root / name for role, name in self.roles(available).items()}


def _labelled(folder: Path, classes: tuple[str, ...]) -> Labelled:
    paths, labels = [], []
    for name, images in _classes_in(folder).items():
        if name not in classes:
            raise DataError(
                f"{folder / name} is a class that the training folder does not have; {close(name, classes)}"
            )
        if not images:
            raise DataError(f"{folder / name} holds no image; expected files ending in {', '.join(sorted(ENDINGS))}")
        paths += images
        labels += [classes.index(name)] * len(images)
    return Labelled(Files(paths), torch.tensor(labels, dtype=torch.int64))


def _classes_in(folder: Path) -> dict[str, list[Path]]:
    def images(below: Path) -> list[Path]:
        return sorted(_file(path) for path in below.rglob("*") if path.suffix.lower() in ENDINGS)

    return {path.name: images(path) for path in _subfolders(folder)}


def _file(path: Path) -> Path:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a link that leads nowhere" if path.is_symlink() else "no file"
        raise DataError(f"{path} is called like an image but is {kind}; rename or remove it")
    return path


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
