"""Runs in several processes: small networks on small data leave most cores idle one by one.

Each process does one run after the other. A run starts when those that it needs are finished. Ctrl-C stops them all:
every training saves its state, and the same command goes on from there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import TYPE_CHECKING

from limbeck.core.errors import Interrupted, LimbeckError, RunError

if TYPE_CHECKING:
    from limbeck.recipe.context import Context
    from limbeck.recipe.graph import Run
    from limbeck.sweep.planning import Planned, Reference
    from limbeck.sweep.progress import RunsProgress

_POLL = 1.0
"""Seconds between looks at how far the runs are, and between reminders to stop."""

_STOPPED = "stopped; everything is saved. Run the same command again to go on from here."


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def do_all(runs: Sequence[Run], planned: Planned, *, jobs: int, bar: RunsProgress) -> None:
    """Make runs finished, several at a time.

    Args:
        runs: those that are not finished, each after those that it needs.
        planned: knows how another process finds them.
        jobs: processes; each has an equal part of the cores.
        bar: is told how far they are.

    Raises:
        RunError: a run failed; the others were stopped and saved.
        Interrupted: somebody asked to stop; everything is saved.
    """
    pool = ProcessPoolExecutor(
        max_workers=jobs,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(max(1, cores() // jobs),),
    )
    queue = _Queue(pool, runs, planned, jobs, bar)
    try:
        queue.work()
    except BaseException:
        queue.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Queue:
    """Who waits for whom."""

    def __init__(
        self, pool: ProcessPoolExecutor, runs: Sequence[Run], planned: Planned, jobs: int, bar: RunsProgress
    ) -> None:
        self._pool, self._references, self._jobs, self._bar = pool, planned.references, jobs, bar
        self._waiting = {run.hash: run for run in runs}
        self._needs = {run.hash: {before.hash for before in run.before()} & set(self._waiting) for run in runs}
        self._running: dict[Future[str], Run] = {}

    def work(self) -> None:
        """Until all runs are finished."""
        from limbeck.train.interrupts import Interrupts

        with Interrupts() as interrupts:
            self._submit()
            while self._running:
                done, _ = wait(self._running, timeout=_POLL, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future)
                if interrupts.asked:
                    raise Interrupted(_STOPPED)
                self._submit()
                self._bar.look(self._running.values())

    def _submit(self) -> None:
        for name in list(self._waiting):
            ready = not self._needs[name] & (set(self._waiting) | {one.hash for one in self._running.values()})
            if ready and len(self._running) < self._jobs:
                self._running[self._pool.submit(_do, self._references[name])] = self._waiting.pop(name)

    def _finish(self, future: Future[str]) -> None:
        run = self._running.pop(future)
        trouble = _trouble(future)
        if trouble == _STOPPED:  # its process heard Ctrl-C first
            raise Interrupted(trouble)
        if trouble:
            raise RunError(f"{run.name} (seed {run.seed}): {trouble}")
        self._bar.finished(run)

    def stop(self) -> None:
        """Ask until all have saved: a process that was between two trainings would not have heard it the first time."""
        while not all(future.done() for future in self._running):
            for process in _processes(self._pool):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGINT)
            wait(self._running, timeout=_POLL)


def _trouble(future: Future[str]) -> str:
    """What went wrong, in words; empty if nothing did."""
    try:
        return future.result()
    except BrokenProcessPool:
        return "its process was killed, perhaps because the memory is full; try again with fewer --jobs"


def _processes(pool: ProcessPoolExecutor) -> list[int]:
    return [pid for pid, process in (pool._processes or {}).items() if process.is_alive()]


_context: Context | None = None


def _begin(threads: int) -> None:
    """Before a process imports torch. Ctrl-C is for the trainings, which save their state."""
    global _context
    os.environ["OMP_NUM_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from limbeck.recipe.context import Context

    torch.set_num_threads(threads)
    _context = Context(progress=False)


def _do(reference: Reference) -> str:
    """Make one run finished; returns what went wrong, because not every error can travel between processes."""
    from limbeck.recipe.execute import execute

    assert _context is not None  # noqa: S101 - narrows the type
    try:
        execute(reference.find(), _context)
    except Interrupted:
        return _STOPPED
    except LimbeckError as error:
        return str(error)
    return ""
