"""Features of any network as maps: tokens laid out as an image, vectors as one place, maps brought to one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from limbeck.core.errors import MethodError
from limbeck.core.method import Shape
from limbeck.core.outline import channels_last, grid_of
from limbeck.core.sections import Section

Size = tuple[int, int]


def as_map(features: Tensor) -> Float[Tensor, "b c h w"]:
    """Features as a map.

    Args:
        features: a map [b c h w], which is returned as it is; tokens [b n d], whose square grid is laid out as an image
            and whose class and register tokens, which come first, are left out; or a vector [b c], which becomes one
            place. A tensor says nothing of the image: `check_maps` finds grids and layouts that would be wrong.

    Raises:
        MethodError: the features have another form.

    Example:
        >>> import torch
        >>> as_map(torch.rand(2, 65, 192)).shape
        torch.Size([2, 192, 8, 8])
    """
    if features.ndim == 4:
        return features
    height, width = map_size(tuple(features.shape))
    if features.ndim == 3:
        return features[:, -height * width :].transpose(1, 2).unflatten(2, (height, width))
    return features[:, :, None, None]


def map_size(shape: tuple[int, ...]) -> Size:
    """Height and width of `as_map`'s result; raises MethodError where there is none.

    Args:
        shape: of the features; one that knows the image (`limbeck.core.method.Shape`) is looked at more closely.
    """
    image = shape.image if isinstance(shape, Shape) else None
    if channels_last(shape, image):
        raise MethodError(
            f"features of shape {tuple(shape)} have their channels last, as those of Swin transformers; expected "
            "[b c h w], [b c], or tokens [b n d]: name another module"
        )
    if len(shape) == 4:
        return shape[2], shape[3]
    if len(shape) == 2:
        return 1, 1
    grid = grid_of(shape[1], image) if len(shape) == 3 else None
    if grid is None:
        seen = f" of an image of {image[0]}×{image[1]}" if image else ""
        raise MethodError(
            f"features of shape {tuple(shape)}{seen} cannot be laid out as a map; expected [b c h w], [b c], or tokens "
            "[b n d] of a square image whose number is a square, with class or register tokens before them"
        )
    return grid


def map_channels(shape: tuple[int, ...]) -> int:
    """The channels of `as_map`'s result."""
    return shape[2] if len(shape) == 3 else shape[1]


def resized(features: Float[Tensor, "b c h w"], size: Size) -> Float[Tensor, "b c i j"]:
    """The map at another size: means of its places where it shrinks, bilinear between them where it grows."""
    if tuple(features.shape[2:]) == size:
        return features
    smaller = min(features.shape[2], size[0]), min(features.shape[3], size[1])
    features = F.adaptive_avg_pool2d(features, smaller)
    return features if smaller == size else F.interpolate(features, size, mode="bilinear", align_corners=False)


def at_one_size(student: Tensor, teacher: Tensor) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d h w"]]:
    """Both features as maps of the smaller size of the two."""
    own, other = as_map(student), as_map(teacher)
    size = min(own.shape[2], other.shape[2]), min(own.shape[3], other.shape[3])
    return resized(own, size), resized(other, size)


def check_maps(taps: Mapping[str, Sequence[str]], shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
    """Each of these taps gives something that can be laid out as a map.

    Args:
        taps: role -> paths.
        shapes: role -> path -> shape; of other taps too.

    Raises:
        MethodError: one does not; its name and shape are said.
    """
    check_rows(taps, shapes)
    for role, paths in taps.items():
        for path in paths:
            try:
                map_size(shapes[role][path])
            except MethodError as error:
                raise MethodError(f"tap {path!r} of the {role}: {error}") from None


def check_rows(taps: Mapping[str, Sequence[str]], shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
    """Each of these taps gives one row for each sample; raises MethodError with its name and shape otherwise."""
    for role, paths in taps.items():
        for path in paths:
            shape = shapes[role][path]
            given = shape.given if isinstance(shape, Shape) else ()
            if given and given[:1] != shape[:1]:
                raise MethodError(
                    f"tap {path!r} of the {role}: features of shape {tuple(shape)} for {given[0]} samples; expected a "
                    "row for each sample: name a module that is neither inside of windows nor given a part of them"
                )


def check_flows(sections: Sequence[Section], shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
    """The flow of every section has one shape in student and teacher; raises MethodError with both shapes otherwise."""
    for number, section in enumerate(sections, start=1):
        (own, other), (student, teacher) = (
            [[map_channels(shapes[role][tap]) for tap in section.of(role)] for role in ("student", "teacher")],
            (" to ".join(section.student), " to ".join(section.teacher)),
        )
        if own != other:
            raise MethodError(
                f"fsp: the flow of section {number} is {own[0]}×{own[1]} in the student ({student}) and "
                f"{other[0]}×{other[1]} in the teacher ({teacher}); expected as many channels in both: choose other "
                "taps, or `hint`, which has regressors"
            )
