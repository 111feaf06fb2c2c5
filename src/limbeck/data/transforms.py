"""torchvision's v2 transforms, made a pure function of (seed, epoch, sample id).

They draw from torch's global generator. It is seeded anew before each sample and put back after the batch, so neither
the transforms nor the rest of the program notices the other.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from limbeck.core.errors import DataError, MissingPackage, close
from limbeck.data.randomness import TRANSFORMS, random_bits

_INSTEAD = {
    "MixUp": "; mixing is `augment.mixup`",
    "CutMix": "; mixing is `augment.cutmix`",
    "Normalize": "; leave normalisation to the network (`normalize`)",
}
"""Name of a transform -> what takes its place here, for the message when it fails."""


def built(entries: Sequence[Mapping[str, Any]]) -> list[Callable[[Tensor], Tensor]]:
    """Make the transforms that `Augment.transforms` describes.

    Args:
        entries: `{name: class name in torchvision.transforms.v2, <its arguments>}`. An argument that is an enum is
            given by its value: `{name: AutoAugment, policy: cifar10}`.

    Raises:
        MissingPackage: torchvision is not installed.
        DataError: an unknown name, or arguments that the class refuses.
    """
    return [_built(entry) for entry in entries]


def _built(entry: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    try:
        from torchvision.transforms import v2
    except ImportError as error:
        raise MissingPackage("torchvision", "vision") from error
    arguments = {key: value for key, value in entry.items() if key != "name"}
    kind = getattr(v2, entry["name"], None)
    if not (isinstance(kind, type) and issubclass(kind, v2.Transform)):
        known = [
            name for name, value in vars(v2).items() if isinstance(value, type) and issubclass(value, v2.Transform)
        ]
        raise DataError(
            f"data.augment.transforms: torchvision.transforms.v2 has no transform {entry['name']!r}; "
            f"{close(entry['name'], known)}"
        )
    try:
        return kind(**_with_enums(kind, arguments))
    except (TypeError, ValueError) as error:
        raise DataError(f"data.augment.transforms: {entry['name']} does not accept {arguments}: {error}") from error


def _with_enums(kind: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with enums' members in the place of their values, which are all that a recipe can write."""
    parameters = inspect.signature(kind).parameters
    enums = {key: parameters[key].annotation for key in arguments if key in parameters}
    found = dict(arguments)
    for key, annotation in enums.items():
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            values = [member.value for member in annotation]
            if arguments[key] not in values and not isinstance(arguments[key], annotation):
                raise ValueError(f"{key} {arguments[key]!r} is none of {', '.join(map(str, values))}")
            found[key] = annotation(arguments[key])
    return found


def transformed(
    pixels: UInt8[Tensor, "b c h w"],
    ids: Int64[Tensor, " b"],
    *,
    transforms: Sequence[Callable[[Tensor], Tensor]],
    seed: int,
    epoch: int,
) -> UInt8[Tensor, "b c h w"]:
    """Apply the transforms one after the other to each sample, each under its own seed.

    Args:
        pixels: on the CPU, because a transform draws from the generator of its tensor's device.
        ids: the samples' identities.
        transforms: from `built`.
        seed: the run's seed.
        epoch: counted from 0.

    Raises:
        DataError: a transform cannot be applied, or they change the image's size, its channels or its type.
    """
    seeds = random_bits(ids, seed=seed, purpose=TRANSFORMS, epoch=epoch)[:, 0].tolist()
    out = torch.empty_like(pixels)
    generator = torch.default_generator
    before = generator.get_state()
    try:
        for place, (image, own) in enumerate(zip(pixels, seeds, strict=True)):
            generator.manual_seed(own)
            for transform in transforms:
                image = _applied(transform, image)
            if image.shape != pixels.shape[1:] or image.dtype != torch.uint8:
                raise DataError(
                    f"augment.transforms must keep uint8 images of shape {list(pixels.shape[1:])}, got {image.dtype} "
                    f"of shape {list(image.shape)}; end with a Resize or RandomResizedCrop to that size, and leave "
                    "ToDtype and Normalize to the network"
                )
            out[place] = image
    finally:
        generator.set_state(before)
    return out


def _applied(transform: Callable[[Tensor], Tensor], image: UInt8[Tensor, "c h w"]) -> Tensor:
    try:
        return transform(image)
    except Exception as error:  # whatever a transform of torchvision's, or of the user's, may raise
        name, hint = type(transform).__name__, _INSTEAD.get(type(transform).__name__, "")
        raise DataError(
            f"augment.transforms: {name} fails on a uint8 image of shape {list(image.shape)}: {error}{hint}"
        ) from error
