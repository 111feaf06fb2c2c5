"""A part of a data set: training, validation or test images, in memory or on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from limbeck.data.images import Reader, Shape, decoded, resized


@runtime_checkable
class Part(Protocol):
    """Images of one shape with labels and identities."""

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """Class numbers; -100 where unlabelled."""

    @property
    def ids(self) -> Int64[Tensor, " n"]:
        """Positions in the source's own order, unique within training and validation together."""

    @property
    def shape(self) -> Shape:
        """Channels, height and width of every image."""

    def __len__(self) -> int:
        """How many images."""

    def take(self, indices: Int64[Tensor, " k"]) -> Part:
        """The samples at these positions, in this order."""

    def labelled(self) -> Part:
        """The samples whose class is known."""

    def with_labels(self, labels: Int64[Tensor, " n"]) -> Part:
        """The same images under other labels."""

    def pixels_at(self, positions: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """The images at these positions."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """Decoded images, all of them in one tensor; the fast way.

    Args:
        pixels: the images.
        labels: class numbers; -100 where unlabelled.
        ids: positions in the source's own order.
    """

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]

    @property
    def shape(self) -> Shape:
        """Channels, height and width of every image."""
        return Shape(*self.pixels.shape[1:])

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Int64[Tensor, " k"]) -> InMemory:
        """The samples at these positions, in this order (a copy)."""
        return InMemory(self.pixels[indices], self.labels[indices], self.ids[indices])

    def labelled(self) -> InMemory:
        """The samples whose class is known."""
        return self.take((self.labels >= 0).nonzero()[:, 0])

    def with_labels(self, labels: Int64[Tensor, " n"]) -> InMemory:
        """The same images under other labels."""
        return replace(self, labels=labels)

    def resized(self, size: int) -> InMemory:
        """The same images, scaled and cut to size x size."""
        return replace(self, pixels=resized(self.pixels, size))

    def to(self, device: torch.device | str) -> InMemory:
        """The same samples on another device."""
        return InMemory(self.pixels.to(device), self.labels.to(device), self.ids.to(device))

    def pixels_at(self, positions: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """The images at these positions."""
        # index_select copies whole images; indexing with a tensor goes element by element
        return self.pixels.index_select(0, positions)


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Images that are read and decoded each time they are asked for.

    Args:
        reader: where the encoded images are.
        rows: the reader's row of each sample.
        labels: class numbers; -100 where unlabelled.
        ids: positions in the source's own order.
        shape: what every image is brought to.
        resize: scale and cut images of other sizes instead of raising.
    """

    reader: Reader
    rows: Int64[Tensor, " n"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]
    shape: Shape
    resize: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def decoded_bytes(self) -> int:
        """What the images would need in memory."""
        return len(self) * self.shape.channels * self.shape.height * self.shape.width

    def take(self, indices: Int64[Tensor, " k"]) -> OnDisk:
        """The samples at these positions, in this order; nothing is read."""
        return replace(self, rows=self.rows[indices], labels=self.labels[indices], ids=self.ids[indices])

    def labelled(self) -> OnDisk:
        """The samples whose class is known."""
        return self.take((self.labels >= 0).nonzero()[:, 0])

    def with_labels(self, labels: Int64[Tensor, " n"]) -> OnDisk:
        """The same images under other labels."""
        return replace(self, labels=labels)

    def in_memory(self) -> InMemory:
        """Decode everything once.

        Raises:
            DataError: an image is missing, damaged or of another size.
        """
        return InMemory(self.pixels_at(torch.arange(len(self))), self.labels, self.ids)

    def pixels_at(self, positions: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Read and decode the images at these positions.

        Raises:
            DataError: an image is missing, damaged or of another size.
        """
        return decoded(self.reader, self.rows[positions], shape=self.shape, resize=self.resize)
