"""How long a call takes, in figures that repeat.

The mean of call times wanders by a tenth on a busy machine, the median by a few hundredths: the median is the figure,
the 95th percentile says how bad a slow call is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
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
    (timing,) = time_in_turns(
        [call], repeats=repeats, warmup=warmup, at_most_seconds=at_most_seconds, wait=wait, on_call=on_call
    )
    return timing


def time_in_turns(
    calls: Sequence[Callable[[], object]],
    *,
    repeats: int = 50,
    warmup: int = 5,
    at_most_seconds: float = 20.0,
    wait: Callable[[], object] | None = None,
    on_call: Callable[[], object] | None = None,
) -> list[Timing]:
    """Time several calls that are to be compared, each once in every round: what slows a machine slows all alike.

    Args:
        calls: what is timed, in this order.
        repeats: rounds that are timed; at least 1.
        warmup: rounds before, untimed.
        at_most_seconds: when the timed rounds have taken this long, no further one is started.
        wait: as for `time_calls`.
        on_call: as there.

    Raises:
        ValueError: `repeats` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"expected at least 1 repeat, got {repeats}")
    times: list[list[float]] = [[] for _ in calls]
    for i in range(warmup + repeats):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if wait is not None:
                wait()
            elapsed = time.perf_counter() - start
            if i >= warmup:
                own.append(elapsed * 1e3)
            if on_call is not None:
                on_call()
        if sum(map(sum, times)) >= at_most_seconds * 1e3:
            break
    return [_timing(own) for own in times]


def _timing(times: Sequence[float]) -> Timing:
    # "inclusive" keeps the percentile within the times that were seen, however few they are.
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    return Timing(median_ms=statistics.median(times), p95_ms=p95, calls=len(times))
