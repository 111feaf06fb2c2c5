"""Encoded images to bytes: opening, orientation, channels, size, and errors that name the image."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from limbeck.core.errors import DataError, MissingPackage

if TYPE_CHECKING:
    from PIL.Image import Image

_GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
_CHUNK = 512
_PROBED = 64


class Shape(NamedTuple):
    """What every image of a set is brought to."""

    channels: int
    height: int
    width: int


@runtime_checkable
class Reader(Protocol):
    """Images that stay where they are until asked for. Must be picklable: loader workers read as well."""

    def __len__(self) -> int:
        """How many images there are."""

    def read(self, rows: Sequence[int]) -> Iterator[tuple[bytes, str]]:
        """Yield each row's encoded bytes and a name for messages (file, and row where there are many in a file)."""


class Files:
    """One image per file."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Sequence[int]) -> Iterator[tuple[bytes, str]]:
        """See `Reader`."""
        for row in rows:
            path = self.paths[row]
            try:
                yield path.read_bytes(), str(path)
            except OSError as error:
                raise DataError(f"cannot read the image {path}: {error.strerror or error}") from error


def decoded(
    reader: Reader, rows: Int64[Tensor, " b"], *, shape: Shape, resize: bool
) -> UInt8[Tensor, "b channels height width"]:
    """Decode some of a reader's images.

    Args:
        reader: where the encoded images are.
        rows: which ones, in this order.
        shape: what they must be.
        resize: bring other sizes to `shape` (scale to cover it, then cut the centre) instead of raising.

    Raises:
        DataError: an image is missing, damaged, of another size, or coloured in a set of grey ones.
    """
    pixels = np.empty((len(rows), *shape), dtype=np.uint8)
    listed = rows.tolist()
    for start in range(0, len(listed), _CHUNK):
        for place, (data, name) in enumerate(reader.read(listed[start : start + _CHUNK]), start):
            pixels[place] = _planes(_opened(data, name), name, shape=shape, resize=resize)
    return torch.from_numpy(pixels)


def probed(reader: Reader, rows: Int64[Tensor, " n"], *, size: int | None, channels: int | None) -> Shape:
    """The shape for a set of images, from up to 64 of them spread evenly.

    Args:
        reader: where the encoded images are.
        rows: which of them belong to the set; at least one.
        size: height and width, if the user chose.
        channels: 1 or 3, if the user chose; otherwise 1 only when all probed images are grey.

    Raises:
        DataError: an image is damaged, or sizes differ and none was chosen.
    """
    chosen = rows[:: max(1, len(rows) // _PROBED)][:_PROBED].tolist()
    sizes: dict[tuple[int, int], str] = {}
    colour = False
    for data, name in reader.read(chosen):
        image = _opened(data, name)
        sizes.setdefault(image.size, name)
        colour = colour or image.mode not in _GREY
    if size is None and len(sizes) > 1:
        (one, one_name), (other, other_name) = list(sizes.items())[:2]
        raise DataError(
            f"images differ in size: {one_name} is {one[0]}x{one[1]}, {other_name} is {other[0]}x{other[1]} (width x "
            "height). Set data.size to scale and cut all of them to one square"
        )
    width, height = (size, size) if size is not None else next(iter(sizes))
    return Shape(channels or (3 if colour else 1), height, width)


def resized(pixels: UInt8[Tensor, "n c h w"], size: int) -> UInt8[Tensor, "n c size size"]:
    """Scale arrays of images so that they cover size x size (bicubic, antialiased) and cut the centre."""
    height, width = pixels.shape[2:]
    if (height, width) == (size, size):
        return pixels
    scale = size / min(height, width)
    target = max(size, round(height * scale)), max(size, round(width * scale))
    out = pixels.new_empty(*pixels.shape[:2], size, size)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    for start in range(0, len(pixels), _CHUNK):
        part = pixels[start : start + _CHUNK].float()
        part = torch.nn.functional.interpolate(part, size=target, mode="bicubic", antialias=True, align_corners=False)
        cut = part[:, :, top : top + size, left : left + size]
        out[start : start + _CHUNK] = cut.round_().clamp_(0, 255).to(torch.uint8)
    return out


def _opened(data: bytes, name: str) -> Image:
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise MissingPackage("pillow", "vision") from error
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError as error:  # its text names our buffer, which tells nothing
        raise DataError(f"{name} is damaged or is not an image. Replace or remove it") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is damaged or is not an image: {error}. Replace or remove it") from error
    # cameras store how they were held; read all images upright, as `datasets` and browsers do
    return ImageOps.exif_transpose(image) if image.getexif() else image


def _planes(image: Image, name: str, *, shape: Shape, resize: bool) -> UInt8[np.ndarray, "channels height width"]:
    if image.mode.startswith("I;16"):
        # Pillow would cut sixteen bits off at 255 instead of scaling them
        from PIL import Image as pil

        image = pil.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"{name} has 32-bit pixels (mode {image.mode}); convert it to 8 bits, its range is not known")
    if shape.channels == 1 and image.mode not in _GREY:
        raise DataError(f"{name} is a colour image in a set of grey ones; set data.channels: 3 to read all as colour")
    image = image.convert("L" if shape.channels == 1 else "RGB")
    if image.size != (shape.width, shape.height):
        if not resize:
            raise DataError(
                f"{name} is {image.width}x{image.height}, the others are {shape.width}x{shape.height} (width x "
                "height). Set data.size to scale and cut all of them to one square"
            )
        from PIL import Image as pil
        from PIL import ImageOps

        image = ImageOps.fit(image, (shape.width, shape.height), method=pil.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)
