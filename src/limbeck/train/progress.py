"""What a person sees while a network trains: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_BETWEEN_UPDATES, _BETWEEN_LINES = 0.2, 15.0  # seconds


class TrainingProgress:
    """Progress of one training.

    Args:
        title: what is being trained.
        total: steps.
        start: steps already done by an earlier attempt.
        unit: what is counted, if not steps.
        visible: False in all processes but one.
        console: where to; absent = standard error.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        start: int = 0,
        unit: str = "step",
        visible: bool = True,
        console: Console | None = None,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._visible, self._title, self._total, self._unit = visible, title, total, unit
        self._text, self._bar = "", None
        self._shown = time.monotonic()
        if visible and self._console.is_terminal:
            bar = BarColumn(bar_width=24)
            text = TextColumn("{task.fields[text]}")
            columns = (TextColumn("{task.description}"), bar, MofNCompleteColumn(), TimeRemainingColumn(), text)
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(title, total=total, completed=start, text="")

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, terms: Mapping[str, float], *, samples_per_second: float) -> None:
        """Remember the loss terms and the throughput for the next update."""
        parts = [f"{name} {value:.4f}" for name, value in terms.items()]
        self._text = "  ".join([*parts, f"{samples_per_second:,.0f} samples/s"])

    def advance(self, step: int) -> None:
        """Say that so many steps are done; shows them when the last update was long enough ago."""
        now = time.monotonic()
        wait = _BETWEEN_UPDATES if self._bar is not None else _BETWEEN_LINES
        if not self._visible or (now - self._shown < wait and step < self._total):
            return
        self._shown = now
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=self._text)
        else:
            self._console.print(f"{self._title}: {self._unit} {step} of {self._total}  {self._text}", highlight=False)
