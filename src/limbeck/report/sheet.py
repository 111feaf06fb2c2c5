"""A sheet of training images as the networks get them: what augmentation does is better looked at than read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from limbeck.core.errors import MissingPackage

COLUMNS = 8
"""Images in a row."""
_SIDE = 1.4
"""Of an image, in inches."""
_TOLD = 0.005
"""Shares of a label below this are not told."""


def sheet(images: Float[Tensor, "b c h w"], captions: Sequence[str]) -> bytes:
    """The images in rows, each with its caption, as PNG.

    Args:
        images: in [0, 1]; of other than three channels the first one is shown in greys.
        captions: one per image.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage("matplotlib", "report") from error
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * _SIDE, rows * (_SIDE + 0.3)), dpi=100, layout="constrained")
    every = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in every:
        axes.set_axis_off()
    pixels = images.detach().float().clamp(0, 1).cpu()
    for axes, image, caption in zip(every[: len(images)], pixels, captions, strict=True):
        shown: dict[str, Any] = {"interpolation": "nearest"}
        if len(image) == 3:
            axes.imshow(image.permute(1, 2, 0).numpy(), **shown)
        else:
            axes.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1, **shown)
        axes.set_title(caption, fontsize=8, parse_math=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def caption(label: Tensor, classes: Sequence[str]) -> str:
    """What a label says.

    Args:
        label: the number of a class (-100 = no label), or a distribution [c], as of mixed images.
        classes: names.

    >>> from torch import tensor
    >>> caption(tensor(1), ["cat", "dog"]), caption(tensor(-100), ["cat", "dog"])
    ('dog', 'no label')
    >>> caption(tensor([0.25, 0.75]), ["cat", "dog"]).splitlines()
    ['dog 75%', 'cat 25%']
    """
    if not label.is_floating_point():
        return classes[int(label)] if int(label) >= 0 else "no label"
    shares, order = label.sort(descending=True)
    told = [(classes[int(k)], float(share)) for share, k in zip(shares, order, strict=True) if share > _TOLD]
    if len(told) == 1 and told[0][1] > 1 - _TOLD:
        return told[0][0]
    return "\n".join(f"{name} {share:.0%}" for name, share in told[:2]) or "no label"
