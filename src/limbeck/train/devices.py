"""The accelerator of one training: device, precision, processes, trackers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState, GradientState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType
from torch import nn

from limbeck.core.errors import MissingPackage, RunError, TrainingError, close

PATIENCE = timedelta(days=30)
"""How long other processes wait for what the main process does alone."""

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def open_accelerator(precision: str, *, trackers: tuple[str, ...] = (), folder: Path | None = None) -> Accelerator:
    """An accelerator for one training. Accelerate keeps its state global, so the previous training's is dropped first.

    Args:
        precision: fp32, bf16 or fp16.
        trackers: names that Accelerate knows.
        folder: where trackers write.

    Raises:
        TrainingError: fp16 without a GPU, a tracker that cannot be used, or processes that do not find each other.
        MissingPackage: tensorboard is not installed.
    """
    check_trackers(trackers)
    check_precision(precision)
    gpu = torch.cuda.is_available()
    # torch itself says to keep the old option where buffers are not to be synchronised at the start either.
    warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
    AcceleratorState._reset_state(reset_partial_state=False)
    GradientState._reset_state()
    accelerator = Accelerator(
        cpu=not gpu,  # without it, several CPU processes would each train alone, in silence
        mixed_precision=_PRECISIONS[precision],
        log_with=list(trackers) or None,
        project_dir=None if folder is None else str(folder),
        # A turn leaves other turns' parameters unused, and every network keeps the buffers of its own process.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
    )
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise TrainingError(f"expected {expected} processes (WORLD_SIZE), Accelerate found {accelerator.num_processes}")
    return accelerator


@contextmanager
def main_alone(processes: PartialState | Accelerator) -> Iterator[bool]:
    """A body in which the main process works, and at whose end the others wait for it, however long that takes.

    Waiting in the processes' own group would end after its timeout (10 minutes with NCCL, 30 with Gloo), which is there
    to notice a process that hangs in training. So they wait in a group of their own; it also notices at once when the
    main process ends.

    Args:
        processes: this one among all.

    Yields:
        Whether this is the main process. If its body raises, it does not wait.

    Raises:
        RunError: the main process ended.
    """
    if processes.num_processes == 1:
        yield True
        return
    group: Any = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    try:
        yield processes.is_main_process
        try:
            torch.distributed.barrier(group=group)
        except RuntimeError as error:
            raise RunError("the main process ended before its work was done; its own message says why") from error
    finally:
        torch.distributed.destroy_process_group(group)


def check_precision(precision: str) -> None:
    """Raise TrainingError for fp16 without a GPU."""
    if precision == "fp16" and not torch.cuda.is_available():
        raise TrainingError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")


def check_bfloat16(network: nn.Module) -> None:
    """Refuse convolutions that this CPU computes wrong in bfloat16, found by computing them on random numbers.

    torch 2.14.1 gives wrong values without an error on CPUs with AMX where the stride is the kernel, of at least 4, and
    there are 8 to 24 input channels. A network that is trained so answers wrong wherever else it runs.

    Raises:
        TrainingError: with the path of such a convolution.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == module.stride and min(module.kernel_size) >= 4:
            shape = (2, module.in_channels, *(2 * side for side in module.kernel_size))
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(module.weight.dtype)
            with torch.no_grad():
                exact = module(x)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    found = module(x).to(exact.dtype)
            if (found - exact).abs().max() > 0.1 * exact.abs().max():
                raise TrainingError(
                    f"precision bf16: this CPU computes the convolution {path!r} ({module}) wrong in bfloat16; set "
                    "train.precision: fp32, or train on a GPU"
                )


def check_trackers(names: Iterable[str]) -> None:
    """Refuse trackers that Accelerate does not know, or would leave out in silence.

    Args:
        names: of trackers.

    Raises:
        TrainingError: an unknown tracker, or one that is not installed.
        MissingPackage: the same for tensorboard, which limbeck's extra `trackers` installs.
    """
    installed = {str(tracker) for tracker in get_available_trackers()}
    own = LOGGER_TYPE_TO_CLASS.keys() - set(LoggerType.list())  # registered by the user's code
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise TrainingError(f"train.trackers: no tracker is called {name!r}; {close(name, LOGGER_TYPE_TO_CLASS)}")
        if name == "tensorboard" and name not in installed:
            raise MissingPackage(name, "trackers")
        if name not in installed | own:
            raise TrainingError(f"train.trackers: {name} is not installed. Install it with: pip install {name}")
