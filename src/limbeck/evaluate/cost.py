"""How large and how fast a network is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.errors import RunError
from limbeck.core.operations import operations
from limbeck.evaluate.memory import device_name, peak_memory
from limbeck.evaluate.mode import device_of, evaluating
from limbeck.evaluate.timing import time_calls


def measure_cost(
    model: nn.Module,
    example: Float[Tensor, "b c h w"],
    *,
    repeats: int = 50,
    on_call: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """All figures of this file for one network.

    Args:
        model: images to logits; its modes are restored.
        example: a large batch; the figures for a single image use its first one.
        repeats: timed calls per batch size.
        on_call: told after every timed or warming call (to draw progress).

    Returns:
        `parameters`, `flops` (one image), `latency` and `peak_memory` (each a list: batch 1, then the whole example,
        which is left out if it is a single image).
    """
    examples = [example[:1]] if len(example) == 1 else [example[:1], example]
    return {
        "parameters": parameters(model),
        "flops": flops(model, example),
        "latency": [latency(model, images, repeats=repeats, on_call=on_call) for images in examples],
        "peak_memory": [peak_memory(model, images) for images in examples],
    }


def parameters(model: nn.Module) -> int:
    """The number of parameters, trained or not; one that is used in two places counts once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, example: Float[Tensor, "b c h w"]) -> int:
    """The floating-point operations of one image's forward pass.

    A multiply-accumulate counts as 2, so many papers' "FLOPs", which count it as 1, are half of this figure. Matrix
    products, convolutions and attention are counted, element-wise work is not.

    Args:
        model: images to logits; its modes are restored.
        example: a batch; only its first image is used.
    """
    image = example[:1].to(device_of(model))
    with evaluating(model):
        return operations(partial(model, image))


def latency(
    model: nn.Module,
    example: Float[Tensor, "b c h w"],
    *,
    repeats: int = 50,
    warmup: int = 5,
    at_most_seconds: float = 20.0,
    on_call: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """The time of one forward pass in evaluation mode, without gradients, the images being on the device already.

    Args:
        model: images to logits; its modes are restored.
        example: a batch; the time is for the whole batch.
        repeats: timed calls.
        warmup: untimed calls before.
        at_most_seconds: timing ends early when it has taken this long.
        on_call: told after every call (to draw progress).

    Returns:
        `median_ms`, `p95_ms`, `calls`, `batch`, `threads` (of PyTorch on the CPU) and `device` ("cpu" or a GPU's name).
    """
    device = device_of(model)
    images = example.to(device)
    with evaluating(model):
        timing = time_calls(
            partial(model, images),
            repeats=repeats,
            warmup=warmup,
            at_most_seconds=at_most_seconds,
            wait=partial(torch.cuda.synchronize, device) if device.type == "cuda" else None,
            on_call=on_call,
        )
    return {
        "median_ms": timing.median_ms,
        "p95_ms": timing.p95_ms,
        "calls": timing.calls,
        "batch": len(example),
        "threads": torch.get_num_threads(),
        "device": device_name(device),
    }


def file_bytes(path: str | Path) -> int:
    """The size of a file, or of all files in a folder, in bytes.

    Raises:
        RunError: there is nothing of that name.
    """
    place = Path(path)
    if not place.exists():
        raise RunError(f"expected a file or a folder at {place}, found nothing")
    if place.is_dir():
        return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return place.stat().st_size
