"""What a recipe may say."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, SkipValidation

from limbeck.core.errors import close
from limbeck.core.method import Method
from limbeck.core.settings import settings
from limbeck.core.task import Task
from limbeck.recipe.models import Model
from limbeck.recipe.names import DATA, METHODS, TASKS, table_in
from limbeck.train.settings import Train

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


@settings
class Evaluate:
    """What is measured on the delivered network beyond the task's own metrics.

    Args:
        latency: whether to time it.
        latency_batches: the batch sizes that are timed.
        batch: samples per forward pass while predicting; changes the speed, not the result.
    """

    latency: bool = True
    latency_batches: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 32)
    batch: Positive = 512


def _exports(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Formats that exist, each once."""
    known = table_in("limbeck.export", "FORMATS") if formats else {}
    for name in formats:
        if name not in known:
            raise ValueError(f"no export format is called {name!r}; {close(name, known)}")
    return _distinct(formats)


def _distinct(items: Any) -> Any:
    """A list without repetitions."""
    if isinstance(items, tuple) and len(set(items)) < len(items):
        twice = next(item for item in items if items.count(item) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return items


def _classification() -> Task:
    task: Task = TASKS.find("classification")()
    return task


@settings
class Recipe:
    """One experiment, checked.

    Args:
        name: a title; absent = the file's name.
        task: what a batch means.
        data: where batches come from.
        models: role -> the network in it.
        method: how the student is taught.
        train: for how long, with which optimiser.
        baseline: whether the same student is also trained without a teacher, with the same budget.
        seeds: n = the seeds 0 … n - 1, or a list; absent = `train.seed` alone.
        generations: of students, each taught by the one before and trained under a seed of its own; the first one by
            the teacher, or else by the same student trained alone. Absent = one student, under the seed itself.
        evaluate: what is measured.
        report: whether a page is written.
        export: formats of the files to deploy: onnx, safetensors, torch_export.
    """

    data: Annotated[SkipValidation[Any], DATA]
    models: Annotated[dict[str, Model], Field(min_length=1)]
    method: Annotated[Method, METHODS]
    task: Annotated[SkipValidation[Task], TASKS] = Field(default_factory=_classification)
    train: Train = Train()
    name: Annotated[str, Field(min_length=1)] | None = None
    baseline: bool = False
    seeds: Annotated[Positive | tuple[Seed, ...], AfterValidator(_distinct)] | None = None
    generations: Positive | None = None
    evaluate: Evaluate = Evaluate()
    report: bool = True
    export: Annotated[tuple[str, ...], AfterValidator(_exports)] = ()

    def __post_init__(self) -> None:
        if self.seeds == ():
            raise ValueError("seeds is an empty list; expected a number or at least one seed")
        if self.generations is not None and "teacher" not in self.method.roles():
            raise ValueError("generations: each is taught by the one before, but the method has no teacher")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds to run, in order."""
        if self.seeds is None:
            return (self.train.seed,)
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds
