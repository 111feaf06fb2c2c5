"""How much of what could have computed did not: the processor's threads, or the device."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import torch
from torch.profiler import ProfilerActivity


class ProcessorTime:
    """What this process could use of the processor, threads × wall clock, and what it used of it.

    A thread that sleeps or waits for a disk, a lock or a worker is idle, and so is one whose processor was given to
    another program. One that spins while it waits for another thread, as OpenMP's do for a moment, is not.
    """

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()
        self._began, self._used, self._children = time.perf_counter(), time.process_time(), _of_children()

    def idle(self) -> float:
        """The share, 0 … 1, of threads × wall clock since the beginning that this process did not use."""
        available = self.threads * (time.perf_counter() - self._began)
        return max(0.0, 1 - (time.process_time() - self._used) / available)

    def of_workers(self) -> float:
        """Seconds of processor time of child processes, such as a loader's workers, that have ended since."""
        return _of_children() - self._children


def _of_children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system


class DeviceTrace:
    """What a CUDA device did in a stretch of work that never waits for it, as torch's profiler saw it.

    Args:
        device: of type cuda.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._trace = torch.profiler.profile(activities=[ProfilerActivity.CUDA])
        self._trace.start()
        torch.cuda.synchronize(device)  # what was queued before does not count
        self._began = time.perf_counter()

    def stop(self) -> float | None:
        """The share, 0 … 1, of the time since the beginning in which nothing ran; `None` if nothing could be seen."""
        torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - self._began
        self._trace.stop()
        # a range that somebody named is no work of the device, though the trace puts it there
        events = [e for e in self._trace.events() or () if e.device_type.name == "CUDA"]
        spans = [(e.time_range.start, e.time_range.end) for e in events if not e.is_user_annotation]
        return max(0.0, 1 - covered(spans) * 1e-6 / seconds) if spans else None


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals: kernels of several streams overlap.

    Args:
        spans: begin and end of each.

    Example:
        >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
        4.0
    """
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
