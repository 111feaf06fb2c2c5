"""What all runs of one command share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from accelerate import PartialState

from limbeck.data.dataset import Dataset
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.graph import Run
from limbeck.train.profile import Profile

Say = Callable[[str], None]


@dataclass
class Context:
    """What all runs of one command share.

    Args:
        say: shows a line to the person.
        progress: whether bars are shown.
        processes: this process among all.
        datasets: loaded so far, by what determines them.
        answers: of frozen networks on held-out images, by what determines both; seeds share a teacher.
        said: lines shown so far; the seeds of a recipe have much to say in common.
        profiles: where the time of each training went, in the order of the trainings; absent = none is taken.
    """

    say: Say = lambda _line: None
    progress: bool = True
    processes: PartialState = field(default_factory=lambda: PartialState(cpu=not torch.cuda.is_available()))
    datasets: dict[str, Dataset] = field(default_factory=dict)
    answers: dict[str, Predictions] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    profiles: list[tuple[Run, Profile]] | None = None

    def dataset(self, run: Run) -> Dataset:
        """The run's data, loaded once per command."""
        key = repr(run.determining["data"])
        if key not in self.datasets:
            self.datasets[key] = run.recipe.data.load()
        return self.datasets[key]

    def profile(self, run: Run) -> Profile | None:
        """A new profile for a run that is about to be trained, if profiles are taken."""
        if self.profiles is None:
            return None
        self.profiles.append((run, Profile()))
        return self.profiles[-1][1]
