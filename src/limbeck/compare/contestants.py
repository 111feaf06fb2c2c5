"""Who is compared: what each recipe delivers, the same students alone, and their teachers; each once."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from limbeck.evaluate.noise import Errors
from limbeck.recipe.context import Context
from limbeck.recipe.graph import Run, network_name
from limbeck.recipe.results import Role
from limbeck.sweep.finished import Finished
from limbeck.sweep.planning import Planned


@dataclass(frozen=True, eq=False)
class Contestant:
    """Networks that differ in nothing but the seed.

    Args:
        label: unique.
        role: what they are in the comparison.
        network: their name.
        runs: one per seed; of a teacher, runs that it taught.
        alone: the label of the same students alone; None for these themselves and for teachers.
        teacher: the label of their teacher; None without one.
        setting: dotted key -> the value that sets them apart from others of their recipe.
        frozen: of a teacher, its role in those runs.
    """

    label: str
    role: Role
    network: str
    runs: tuple[Finished, ...]
    alone: str | None = None
    teacher: str | None = None
    setting: Mapping[str, Any] | None = None
    frozen: str | None = None

    @cached_property
    def errors(self) -> Errors:
        """On the test images, of the networks that the runs deliver."""
        return Errors.in_predictions([run.predictions(self.which) for run in self.runs])

    @property
    def which(self) -> str:
        """The network of each run that is meant: its delivered one, or the one that taught."""
        return self.frozen or str(self.runs[0].folder.read("run.json", keys=("selected",))["selected"])

    @property
    def accuracies(self) -> list[float]:
        """Of each seed, on the test images."""
        return [1 - count / self.errors.images for count in self.errors.counts]

    @property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float | None:
        """The standard deviation over seeds; None of a single one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def validation(self) -> float | None:
        """The mean accuracy on validation images, of the networks that were chosen there; None without such images."""
        if self.frozen is not None:
            return None
        best = [run.folder.read("run.json", keys=("validation",))["validation"]["best"] for run in self.runs]
        found = [one["accuracy"] for one in best if one and "accuracy" in one]
        return statistics.fmean(found) if len(found) == len(best) else None

    @property
    def seconds(self) -> float | None:
        """Its training took, a seed; None of a teacher that was not trained here."""
        runs = [run.run for run in self.runs]
        if self.frozen is not None:
            runs = [run.upstream[self.frozen] for run in runs if self.frozen in run.upstream]
        taken = [Finished(run, self.runs[0].context).seconds for run in runs]
        return statistics.fmean(taken) if taken else None


def contestants(plan: Planned, settings: Mapping[str, Mapping[str, Any]], context: Context) -> list[Contestant]:
    """Everybody, recipes in the order in which they were asked for, each after its student alone, teachers first.

    Args:
        plan: finished runs.
        settings: label -> what sets it apart from others of its recipe.
        context: for the data.
    """
    field = _Field(plan, context)
    asked = [field.asked(label, settings.get(label, {})) for label in plan.labelled]
    return [*field.teachers.values(), *_each_after_its_student_alone(asked, field.alone)]


def _each_after_its_student_alone(asked: Sequence[Contestant], alone: Mapping[str, Contestant]) -> Iterator[Contestant]:
    left = {one.label: one for one in alone.values()}
    for one in asked:
        if one.alone in left:
            yield left.pop(one.alone)
        yield one


class _Field:
    """Finds those that several recipes share."""

    def __init__(self, plan: Planned, context: Context) -> None:
        self._plan, self._context = plan, context
        self._labels = {_key(runs): label for label, runs in plan.labelled.items()}
        self.alone: dict[str, Contestant] = {}
        self.teachers: dict[str, Contestant] = {}

    def asked(self, label: str, setting: Mapping[str, Any]) -> Contestant:
        """What a recipe delivers; the others that it brings along are noted."""
        runs = self._plan.labelled[label]
        frozen = runs[0].frozen
        role: Role = "distilled" if frozen else "alone" if self._is_alone_of_another(label) else "trained"
        return Contestant(
            label,
            role,
            network_name(runs[0]),
            self._finished(runs),
            alone=self._alone_of(label),
            teacher=self._teacher_of(runs, frozen[0]) if frozen else None,
            setting=setting,
        )

    def _is_alone_of_another(self, label: str) -> bool:
        key = _key(self._plan.labelled[label])
        return any(_key(runs) == key for other, runs in self._plan.baselines.items() if other != label)

    def _alone_of(self, label: str) -> str | None:
        """The label of a recipe's student alone, which may be another recipe."""
        runs = self._plan.baselines.get(label, ())
        key = _key(runs)
        if not runs or key == _key(self._plan.labelled[label]):
            return None
        if key in self._labels:
            return self._labels[key]
        if key not in self.alone:
            name = network_name(runs[0])
            taken = {one.label for one in self.alone.values()} | set(self._labels.values())
            own = f"{name} alone" if f"{name} alone" not in taken else f"{name} alone, as in {label}"
            self.alone[key] = Contestant(own, "alone", name, self._finished(runs))
        return self.alone[key].label

    def _teacher_of(self, runs: tuple[Run, ...], role: str) -> str:
        """The label of the networks that taught: as many as there are different ones."""
        described = {repr(run.determining["models"][role]): run for run in runs}
        key = repr(sorted(described))
        if key not in self.teachers:
            name = f"{role} {network_name(runs[0], role)}"
            count = sum(one.label.startswith(name) for one in self.teachers.values())
            own = name if not count else f"{name} ({count + 1})"
            taught = self._finished(tuple(described.values()))
            self.teachers[key] = Contestant(own, "teacher", network_name(runs[0], role), taught, frozen=role)
        return self.teachers[key].label

    def _finished(self, runs: tuple[Run, ...]) -> tuple[Finished, ...]:
        return tuple(Finished(run, self._context) for run in runs)


def _key(runs: Sequence[Run]) -> str:
    return " ".join(run.hash for run in runs)
