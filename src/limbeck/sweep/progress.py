"""How far the runs of an experiment are: a bar on a terminal, a line per finished run elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run
from limbeck.train.settings import parse_length

_TAIL = 4096


class RunsProgress:
    """Progress over several runs.

    Args:
        total: runs of the experiment.
        finished: how many of them were there already.
        visible: whether anything is shown.
        names: hash -> how a run is called; absent = by its own name.
        console: where to; absent = standard error.
    """

    def __init__(
        self,
        total: int,
        *,
        finished: int,
        visible: bool = True,
        names: Mapping[str, str] | None = None,
        console: Console | None = None,
    ) -> None:
        self._console, self._names = console or Console(stderr=True), names or {}
        self._total, self._done, self._visible, self._bar = total, finished, visible, None
        if visible and self._console.is_terminal:
            columns = (
                TextColumn("{task.fields[done]} of {task.total:.0f} runs"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task("", total=total, completed=finished, done=finished)

    def __enter__(self) -> RunsProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def finished(self, run: Run) -> None:
        """Count a finished run, and say how it came out."""
        self._done += 1
        if not self._visible:
            return
        folder = RunFolder(run.folder)
        errors = folder.read("evaluation.json").get("last", {}).get("errors")
        seconds = folder.read("run.json").get("seconds", 0.0)
        came = "" if errors is None else f": {errors:,} test errors"
        self._console.print(
            f"{self._done} of {self._total}  {self._name(run)}, seed {run.seed}{came}, {seconds:.0f} s of training",
            highlight=False,
            soft_wrap=True,
        )

    def look(self, running: Iterable[Run]) -> None:
        """Show how far the runs are that are being done."""
        if self._bar is None:
            return
        shares = {self._name(run): share_done(run) for run in running}
        shown = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
        self._bar.update(self._task, completed=self._done + sum(shares.values()), done=self._done, description=shown)

    def _name(self, run: Run) -> str:
        return self._names.get(run.hash, run.name)


def share_done(run: Run) -> float:
    """Of a training, by the last line of its metrics; 0 if there is none yet."""
    length, unit = parse_length(run.recipe.train.length)
    try:
        line = json.loads(_last_line(run.folder / "metrics.jsonl"))
        return min(1.0, float(line[unit]) / length)
    except (OSError, ValueError, KeyError):  # not begun, or only half of a line is written
        return 0.0


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return file.read().decode(errors="replace").rstrip("\n").rpartition("\n")[2]
