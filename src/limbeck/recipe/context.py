"""What all runs of one command share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from accelerate import PartialState

from limbeck.data.dataset import Dataset
from limbeck.data.special import Confused
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.recipe.confusions import special_classes
from limbeck.recipe.descriptions import Description
from limbeck.recipe.graph import Run
from limbeck.recipe.measure import batches_of
from limbeck.recipe.networks import delivered
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
        untrained: how the networks are built that unfinished runs will deliver, by the runs' hashes.
        profiles: where the time of each training went, in the order of the trainings; absent = none is taken.
    """

    say: Say = lambda _line: None
    progress: bool = True
    processes: PartialState = field(default_factory=lambda: PartialState(cpu=not torch.cuda.is_available()))
    datasets: dict[str, Dataset] = field(default_factory=dict)
    answers: dict[str, Predictions] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    untrained: dict[str, Description] = field(default_factory=dict)
    profiles: list[tuple[Run, Profile]] | None = None

    def dataset(self, run: Run) -> Dataset:
        """The run's data, loaded once per command; specialists share the images of the whole set."""
        data, key = run.recipe.data, _undivided(run)
        special = getattr(data, "special", None)
        if key not in self.datasets:
            self.datasets[key] = data.load() if special is None else replace(data, special=None).load()
        whole = self.datasets[key]
        if special is None:
            return whole
        if isinstance(special.classes, Confused):
            classes = special_classes(run, special.classes, whole, predictions_of=self._on_training_images)
            special = replace(special, classes=classes)
        return special.applied(whole)

    def _on_training_images(self, run: Run, dataset: Dataset) -> Predictions:
        """What a finished run's network says on the training images of data like its own."""
        key, recipe, device = f"{run.hash} trained, on {_undivided(run)}", run.recipe, self.processes.device
        if key not in self.answers:
            network = delivered(run, dataset)[0].to(device)
            self.answers[key] = predict(network, batches_of(dataset.train, recipe, device), recipe.task.run)
        return self.answers[key]

    def profile(self, run: Run) -> Profile | None:
        """A new profile for a run that is about to be trained, if profiles are taken."""
        if self.profiles is None:
            return None
        self.profiles.append((run, Profile()))
        return self.profiles[-1][1]


def _undivided(run: Run) -> str:
    """What determines a run's data before a specialist's classes are told from the others."""
    return repr({name: value for name, value in run.determining["data"].items() if name != "special"})
