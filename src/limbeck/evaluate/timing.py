"""How long a call takes, in figures that repeat.

The mean of call times wanders by a tenth on a busy machine, the median by a few hundredths: the median is the figure,
the 95th percentile says how bad a slow call is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The times of repeated calls, in milliseconds.

    Args:
        median_ms: half of the calls took at most this long.
        p95_ms: 95 of 100 calls took at most this long.
        calls: how many were timed.
    """

    median_ms: float
    p95_ms: float
    calls: int


def time_calls(
    call: Callable[[], object],
    *,
    repeats: int = 50,
    warmup: int = 5,
    at_most_seconds: float = 20.0,
    wait: Callable[[], object] | None = None,
    on_call: Callable[[], object] | None = None,
) -> Timing:
    """Call something again and again and time each call.

    Args:
        call: what is timed.
        repeats: how many calls are timed; at least 1.
        warmup: how many calls are made before, untimed: the first ones fill caches and choose algorithms.
        at_most_seconds: when the timed calls have taken this long, no further one is started.
        wait: blocks until the device has done the work, inside the timed interval (a GPU only queues it).
        on_call: told after every call, outside the timed interval (to draw progress).

    Raises:
        ValueError: `repeats` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"expected at least 1 repeat, got {repeats}")
    times: list[float] = []
    for i in range(warmup + repeats):
        start = time.perf_counter()
        call()
        if wait is not None:
            wait()
        elapsed = time.perf_counter() - start
        if i >= warmup:
            times.append(elapsed * 1e3)
        if on_call is not None:
            on_call()
        if sum(times) >= at_most_seconds * 1e3:
            break
    # "inclusive" keeps the percentile within the times that were seen, however few they are.
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    return Timing(median_ms=statistics.median(times), p95_ms=p95, calls=len(times))
