"""Where the time of a training goes.

    profile = Profile()
    fit(distiller, batches, settings, profile=profile)
    print(profile)

The loop opens a section around each of its parts, and hooks on the networks open one around each forward pass. A clock
is read at every border, and the time since the last border belongs to the innermost section that was open. So every
moment belongs to exactly one section: a teacher's forward inside the distiller's is the teacher's, and not one of
losses too.

A GPU works behind the program's back. While a profile is taken the program waits for it at every border, so that each
section has its own time; what would otherwise overlap does not, and the training takes longer than without a profile.
How long the GPU idles is therefore seen on ten other steps, in which nothing waits for it.

Without a profile the loop meets only a context that does nothing. Neither way does anything trained change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import torch

from limbeck.core.distiller import Distiller
from limbeck.core.net import Net
from limbeck.train.idle import DeviceTrace, ProcessorTime

TRACED_AFTER, TRACED = 20, 10
"""The steps before a GPU's idle time is looked at, and the steps in which it is."""


class Section(StrEnum):
    """A part of the loop, named as it is shown. The networks' forward passes are named after their roles."""

    SETUP = "optimisers made"
    DATA = "data"
    LOSSES = "losses, adapters"
    BACKWARD = "backward"
    OPTIMISER = "optimiser step"
    STEP = "rest of the step"
    """Opened once per step. What is left of it: sizes of micro-batches, on which several processes agree; turns; what a
    method does after a step."""
    AVERAGE = "average of weights"
    EVALUATION = "evaluation"
    LOG = "log, progress"
    CHECKPOINT = "checkpoint, networks saved"
    FROZEN = "check of frozen networks"
    TRACE = "steps watched for idle time"
    OTHER = "other"


Timed = Callable[[Section], AbstractContextManager[None]]
_NOTHING = nullcontext()


def untimed(_section: Section) -> AbstractContextManager[None]:
    """In the place of `Profile.section` where no profile is taken."""
    return _NOTHING


@dataclass(frozen=True)
class Row:
    """What one section came to.

    Args:
        name: of the section.
        seconds: in it, and in no other.
        share: of all, 0 … 1.
        ms_per_step: milliseconds, over all steps; absent where it would say nothing.
    """

    name: str
    seconds: float
    share: float
    ms_per_step: float | None


class Profile:
    """Where the time of one call of `fit` went, in this process; `print` shows it. A second call replaces the first.

    Attributes:
        steps: that were made.
        wall: seconds from the first step's preparation to the networks' files.
        processor_idle: the share, 0 … 1, of threads × wall that this process did not use.
        device_idle: the share of ten steps in which the GPU did nothing; `None` without one, or in a short training.
    """

    def __init__(self) -> None:
        self.steps, self.wall, self.processor_idle = 0, 0.0, 0.0
        self.device_idle: float | None = None
        self._seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._calls: dict[str, int] = {}
        self._device = torch.device("cpu")
        self._trace: DeviceTrace | None = None
        self._threads, self._of_workers = 1, 0.0

    @contextmanager
    def of(self, distiller: Distiller, device: torch.device) -> Iterator[None]:
        """Take the profile of what is done meanwhile.

        Args:
            distiller: whose networks' forward passes are told apart.
            device: on which it is trained.
        """
        self.steps, self.device_idle, self._trace = 0, None, None
        names = [name for role in distiller.nets for name in (_live(role), _stored(role))]
        self._seconds = dict.fromkeys([Section.SETUP, Section.DATA, *names, *Section], 0.0)
        self._device, self._open = device, [Section.OTHER]
        hooks = [hook for role in distiller.nets for hook in self._hooked(role, distiller[role])]
        processor, self._since = ProcessorTime(), self._now()
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._end_trace()
            self._border()
            self.wall, self.processor_idle = sum(self._seconds.values()), processor.idle()
            self._threads, self._of_workers = processor.threads, processor.of_workers()

    @contextmanager
    def section(self, section: Section) -> Iterator[None]:
        """What is done meanwhile belongs to a section, except what belongs to one inside it."""
        self._enter(section)
        try:
            if section is Section.STEP:
                self._count()
            yield
        finally:
            self._leave()

    def _enter(self, name: str) -> None:
        self._border()
        self._open.append(name)

    def _leave(self) -> None:
        self._border()
        self._open.pop()

    def _border(self) -> None:
        now = self._now()
        self._seconds[self._open[-1] if self._trace is None else Section.TRACE] += now - self._since
        self._since = now

    def _now(self) -> float:
        if self._device.type != "cpu" and self._trace is None:
            torch.accelerator.synchronize(self._device)
        return time.perf_counter()

    def _hooked(self, role: str, net: Net) -> list[Any]:
        """Hooks on the `Net`, outside of whatever is compiled in it; they see and change none of its tensors."""
        entered = net.register_forward_pre_hook(partial(self._before_pass, role))
        left = net.register_forward_hook(partial(self._after_pass, role), always_call=True)
        return [entered, left]

    def _before_pass(self, role: str, net: Net, _inputs: Any) -> None:
        self._enter(_live(role))
        self._calls[role] = net.calls

    def _after_pass(self, role: str, net: Net, _inputs: Any, _output: Any) -> None:
        if net.served is not None and net.calls == self._calls[role]:
            self._open[-1] = _stored(role)
        self._leave()

    def _count(self) -> None:
        self.steps += 1
        if self._device.type == "cuda" and self.steps == TRACED_AFTER + 1:
            self._trace = DeviceTrace(self._device)
        elif self.steps == TRACED_AFTER + TRACED + 1:
            self._end_trace()

    def _end_trace(self) -> None:
        if self._trace is not None:
            self.device_idle = self._trace.stop()
            self._border()
            self._trace = None

    def rows(self) -> list[Row]:
        """The sections in which any time was spent; their seconds add up to `wall`."""
        found = [(name, seconds) for name, seconds in self._seconds.items() if seconds > 0]
        return [Row(str(name), seconds, seconds / self.wall, self._per_step(name, seconds)) for name, seconds in found]

    def total(self) -> Row:
        """All of it."""
        seconds = self.wall - self._seconds.get(Section.TRACE, 0.0)
        return Row("total", self.wall, 1.0, self._per_step("total", seconds))

    def _per_step(self, name: str, seconds: float) -> float | None:
        traced = min(TRACED, max(0, self.steps - TRACED_AFTER)) if self._device.type == "cuda" else 0
        timed = self.steps - traced
        return None if name == Section.TRACE or not timed else 1000 * seconds / timed

    def idle(self) -> str:
        """A sentence about what did not compute; it lies across the sections and is in none of them."""
        if self._device.type == "cuda":
            known = (
                "not known" if self.device_idle is None else f"{self.device_idle:.0%} of steps that never wait for it"
            )
            return f"GPU idle: {known}; the times above wait for it at every border."
        threads = f"{self._threads} thread{'s' if self._threads > 1 else ''}"
        said = f"Processor idle: {self.processor_idle:.0%} of {threads} × {self.wall:.3g} s."
        workers = f" Worker processes used another {self._of_workers:.3g} s." if self._of_workers else ""
        return said + workers

    def __str__(self) -> str:
        if not self.wall:
            return "no training has been profiled yet: fit(..., profile=profile)"
        rows = [*self.rows(), self.total()]
        width = max(len(row.name) for row in rows)
        lines = [f"{'':{width}}   seconds    share   ms a step"]
        lines += [f"{row.name:{width}}  {'  '.join(cells(row))}" for row in rows]
        return "\n".join([*lines, self.idle()])


def cells(row: Row) -> tuple[str, str, str]:
    """Seconds, share and milliseconds as they are shown, right-aligned."""
    step = "–" if row.ms_per_step is None else f"{row.ms_per_step:.3f}"
    return f"{row.seconds:8.2f}", f"{100 * row.share:5.1f} %", f"{step:>10}"


def _live(role: str) -> str:
    return f"{role} forward"


def _stored(role: str) -> str:
    return f"{role} (stored outputs)"
