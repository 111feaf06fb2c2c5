"""An exported file is only kept if it says what the live network says."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.errors import ExportError
from limbeck.evaluate.mode import device_of
from limbeck.evaluate.timing import time_calls
from limbeck.export.trace import first_line

TOLERANCE = 1e-3
"""The largest difference that is accepted, as a share of the largest absolute logit of the live network."""


@dataclass(frozen=True)
class Exported:
    """A file that was written and agrees with the live network.

    Args:
        format: a name of `limbeck.export.FORMATS`.
        path: the file.
        bytes: its size.
        max_difference: the largest absolute difference of a logit, over batches of 1, 5 and all samples.
        agreement: the share of samples on which the file and the live network put the same class first.
        median_ms: the median time of one image in the format's own runtime; None for a format without one.
        detail: what else is worth knowing, as values that JSON has.
    """

    format: str
    path: Path
    bytes: int
    max_difference: float
    agreement: float
    median_ms: float | None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """How close a file is to the live network; the fields are those of `Exported`."""

    max_difference: float
    agreement: float


def on_cpu(network: nn.Module) -> nn.Module:
    """The network itself if it is on the CPU, otherwise a copy there: files are made and verified on the CPU."""
    return network if device_of(network).type == "cpu" else copy.deepcopy(network).cpu()


def check_samples(samples: Tensor) -> Float[Tensor, "n c h w"]:
    """The samples on the CPU.

    Raises:
        ExportError: they are not at least one image of floating-point pixels.
    """
    if samples.ndim != 4 or not len(samples) or not samples.is_floating_point():
        raise ExportError(
            "expected samples [n, channels, height, width] of floating-point pixels in [0, 1] with n >= 1 to verify "
            f"the file on, got {tuple(samples.shape)} of {samples.dtype}"
        )
    return samples.detach().cpu()


def verify(
    live: Callable[[Tensor], Tensor],
    exported: Callable[[Tensor], Tensor],
    samples: Float[Tensor, "n c h w"],
    *,
    tolerance: float = TOLERANCE,
) -> Match:
    """Compare an exported network with the live one on batches of 1, 5 and all samples.

    Args:
        live: images to logits, in evaluation mode, without gradients.
        exported: the same, from the file.
        samples: pixels in [0, 1]; fewer than 5 are repeated.
        tolerance: the largest difference accepted, as a share of the largest absolute live logit.

    Raises:
        ExportError: the file cannot run on a batch, its logits differ, or the live network's are not finite.
    """
    scale = _scale(live(samples))
    difference = agreement = 0.0
    for size in sorted({1, 5, len(samples)}):
        images = _batch_of(samples, size)
        ours = live(images)
        try:
            theirs = exported(images)
        except Exception as error:
            raise ExportError(f"the exported file cannot run on a batch of {size}: {first_line(error)}") from error
        difference = max(difference, _difference(ours, theirs, size, tolerance * scale))
        if size == len(samples):
            agreement = (ours.argmax(1) == theirs.argmax(1)).double().mean().item()
    return Match(max_difference=difference, agreement=agreement)


def speeds(
    live: Callable[[Tensor], Tensor], exported: Callable[[Any], object], samples: Float[Tensor, "n c h w"], prepare: Any
) -> list[dict[str, Any]]:
    """The latency of the live and of the exported network on the CPU, side by side, for one image and for all samples.

    Args:
        live: images to logits.
        exported: runs on what `prepare` made of the images.
        samples: pixels in [0, 1].
        prepare: turns images into what `exported` takes, outside the timed interval.

    Returns:
        For each batch size `batch`, `median_ms` and `p95_ms` of the file, `live_median_ms`, and `threads` of PyTorch
        (an exporter gives its runtime the same number).
    """
    rows = []
    for size in sorted({1, len(samples)}):
        images = _batch_of(samples, size)
        timing = time_calls(partial(exported, prepare(images)), at_most_seconds=2.0)
        eager = time_calls(partial(live, images), at_most_seconds=2.0)
        times = {"median_ms": timing.median_ms, "p95_ms": timing.p95_ms, "live_median_ms": eager.median_ms}
        rows.append({"batch": size, **times, "threads": torch.get_num_threads()})
    return rows


def _scale(logits: Tensor) -> float:
    scale = logits.abs().max().item()
    if not math.isfinite(scale):
        raise ExportError("the live network's logits are not finite on the samples; there is nothing to verify against")
    return max(scale, 1e-6)


def _difference(ours: Tensor, theirs: Tensor, size: int, accepted: float) -> float:
    if ours.ndim != 2 or len(ours) != size or ours.shape != theirs.shape:
        raise ExportError(
            f"expected logits [{size}, classes] on a batch of {size}, got {tuple(ours.shape)} of the live network and "
            f"{tuple(theirs.shape)} of the exported file; no file was kept"
        )
    difference = (ours.double() - theirs.double()).abs().max().item()
    # Written so that a NaN is refused as well.
    if not difference <= accepted:
        raise ExportError(
            f"the exported file differs from the live network by {difference:.2g} on a batch of {size}; at most "
            f"{accepted:.2g} is accepted, and no file was kept"
        )
    return difference


def _batch_of(samples: Tensor, size: int) -> Tensor:
    """The first `size` samples, repeated if there are fewer."""
    return samples[torch.arange(size) % len(samples)]
