"""Doing runs: each at most once, resumed where it stopped, measured on the test split when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import Interrupted
from limbeck.core.files import write_json
from limbeck.core.net import Kind, digest
from limbeck.data.dataset import Part
from limbeck.data.loader import Loader
from limbeck.evaluate.classification import measure
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.recipe.batches import in_whole_epochs, training_loader
from limbeck.recipe.bridging import descriptions
from limbeck.recipe.cached import Teachers, check_stored
from limbeck.recipe.context import Context
from limbeck.recipe.decided import decided, decided_notes
from limbeck.recipe.folder import RunFolder, Which
from limbeck.recipe.graph import Run, network_name
from limbeck.recipe.held_out import held_out_notes
from limbeck.recipe.measure import Measurement, batches_of
from limbeck.recipe.networks import delivered, join
from limbeck.recipe.versions import versions
from limbeck.train.batches import Repeatable
from limbeck.train.cache import Cache
from limbeck.train.devices import main_alone
from limbeck.train.fit import fit
from limbeck.train.record import Fitted
from limbeck.train.settings import Cached
from limbeck.train.speed import keep_freed_memory


def execute(run: Run, context: Context) -> None:
    """Make a run and all runs before it finished.

    Raises:
        LimbeckError: anything that goes wrong on purpose; a folder in which nothing was saved yet is removed.
    """
    for before in run.before():
        execute(before, context)
    folder = RunFolder(run.folder)
    finished = folder.state == "finished"
    context.processes.wait_for_everyone()  # all have looked before one of them writes
    if finished:
        return
    main = context.processes.is_main_process
    with folder.locked() if main else nullcontext(), _cleared_on_failure(folder, main):
        if context.processes.num_processes == 1 and folder.state == "finished":
            return  # another command finished it between the look and the lock
        _Training(run, folder, context).run()
        if main:
            shutil.rmtree(_aside(run.folder), ignore_errors=True)
    context.processes.wait_for_everyone()


def set_aside(run: Run) -> None:
    """Put a finished run's folder aside, so that it is done again; it comes back if that fails."""
    if not run.folder.exists():
        return
    with RunFolder(run.folder).locked():
        shutil.rmtree(_aside(run.folder), ignore_errors=True)
        run.folder.rename(_aside(run.folder))


def bring_back(run: Run) -> None:
    """Undo `set_aside`, unless the run has been begun again since."""
    _bring_back(run.folder)


def _bring_back(folder: Path) -> None:
    if _aside(folder).is_dir() and not folder.exists():
        _aside(folder).rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.before")


@contextmanager
def _cleared_on_failure(folder: RunFolder, main: bool) -> Iterator[None]:
    """A run that fails before its first checkpoint leaves nothing behind."""
    try:
        yield
    except BaseException:
        if main and not any((folder / "checkpoints").glob("step-*.pt")):
            shutil.rmtree(folder.path, ignore_errors=True)
            _bring_back(folder.path)
        raise


class _Training:
    """One run, from data to measured networks."""

    def __init__(self, run: Run, folder: RunFolder, context: Context) -> None:
        self.run_, self.folder, self.context = run, folder, context
        self.main = context.processes.is_main_process
        if run.recipe.train.reuse_memory and context.processes.device.type == "cpu":
            keep_freed_memory()  # the teacher is tested before `fit` would see to it
        self.recipe = run.recipe
        self.dataset = context.dataset(run)
        check_stored(run, classes=len(self.dataset.classes))
        self.caches: dict[str, Cache] = {}
        self.roles = dict(self.recipe.method.roles())
        self.frozen = [role for role in self.recipe.models if self.roles.get(role) is Kind.FROZEN]
        self.joined = {role: join(run, role, self.dataset, frozen=role in run.weighted) for role in self.recipe.models}
        self.descriptions = descriptions(self.joined, self.dataset)  # before a method changes the networks

    def run(self) -> None:
        """Train, then measure; an interruption says which training it stopped."""
        try:
            self._run()
        except Interrupted as stopped:
            raise Interrupted(f"{self.run_.name}, seed {self.run_.seed}: {stopped}") from stopped

    def _run(self) -> None:
        distiller, loader, example = self._distiller()
        try:
            cached = isinstance(self.recipe.train.teacher_outputs, Cached)
            teachers = self._teachers(distiller, loader) if cached else None
            self._announce(distiller)
            if self.main:
                self._open(distiller, self.caches)
            if teachers is not None:
                self._fill(teachers, example)
                teachers.serve()
            held_out = self.dataset.validation
            fitted = fit(
                distiller,
                in_whole_epochs(loader, self.run_, self.dataset),
                self.run_.train,
                folder=self.folder.path,
                validation=None if held_out is None else Repeatable(self._evaluation, held_out),
                title=self.run_.name,
                progress=self.context.progress,
                profile=self.context.profile(self.run_),
                describe=self.descriptions.of,
            )
        finally:
            distiller.close()
        with main_alone(self.context.processes) as main:
            if main:
                self._finish(fitted)

    def fill(self) -> None:
        """Store what the frozen networks give, and train nothing."""
        distiller, loader, example = self._distiller()
        try:
            self._fill(self._teachers(distiller, loader), example)
        finally:
            distiller.close()

    def _distiller(self) -> tuple[Distiller, Loader, Any]:
        loader = training_loader(self.run_, self.dataset, self.context)
        example = next(iter(loader.batches()))[0]
        recipe = self.recipe
        return Distiller(recipe.method, recipe.task, self._networks(), example, seed=self.run_.seed), loader, example

    def _networks(self) -> dict[str, nn.Module]:
        return {role: self._placed(role) for role in self.joined}

    def _teachers(self, distiller: Distiller, loader: Loader) -> Teachers:
        teachers = Teachers(self.run_, distiller, self._networks(), loader)
        self.caches = teachers.caches()
        return teachers

    def _fill(self, teachers: Teachers, example: Any) -> None:
        with main_alone(self.context.processes) as main:
            if main:
                teachers.fill(example, say=self._say, progress=self.context.progress)
                for role, split in product(self.frozen, self._held_out()):
                    if self.caches[role].held(_answers_file(split)) is None:
                        self.caches[role].enter(_answers_file(split), self._answers(role, split).save)

    def _evaluation(self, part: Part) -> Iterable[Any]:
        return batches_of(part, self.recipe, self.context.processes.device)

    def _announce(self, distiller: Distiller) -> None:
        """What a person should know before training starts: what was bridged and decided, how good the teacher is."""
        for note in self._notes(distiller):
            self._say(note)
        for role, split in product(self.frozen, self._held_out()[:1]):
            accuracy = measure(self._answers(role, split), self.dataset.classes)["accuracy"]
            name = network_name(self.run_, role)
            self._say(f"{role} ({name}): {accuracy:.2%} on the {split} split, seen as the student sees it")
            if accuracy < 1.5 / len(self.dataset.classes):
                self._say(
                    f"Note: {role} does little better than guessing here; look at its weights, classes and pixels"
                )

    def _held_out(self) -> list[str]:
        return [split for split in ("validation", "test") if getattr(self.dataset, split) is not None]

    def _answers(self, role: str, split: str) -> Predictions:
        """What a frozen network says on a held-out split: asked once per command, or ever where outputs are stored."""
        determining, known = self.run_.determining, self.context.answers
        # the weights too: a description does not say them where a user's own code draws them
        weights = digest(self.joined[role].network)
        key = repr([weights, determining["models"][role], determining["data"], determining["task"], split])
        if key not in known:
            stored = self.caches[role].held(_answers_file(split)) if role in self.caches else None
            batches = self._evaluation(getattr(self.dataset, split))
            network = self._placed(role)
            known[key] = Predictions.load(stored) if stored else predict(network, batches, self.recipe.task.run)
        return known[key]

    def _placed(self, role: str) -> nn.Module:
        return self.joined[role].network.to(self.context.processes.device)

    def _say(self, line: str) -> None:
        if self.main and line not in self.context.said:
            self.context.said.add(line)
            self.context.say(line)

    def _notes(self, distiller: Distiller) -> list[str]:
        bridged = [note for joined in self.joined.values() for note in joined.notes]
        held_out = held_out_notes(self.run_, self.context.dataset)
        return [*bridged, *held_out, *decided_notes(distiller, self.recipe.method)]

    def _open(self, distiller: Distiller, caches: Mapping[str, Cache]) -> None:
        write_json(self.folder / "recipe.json", {"recipe": dict(self.run_.canonical), "run": self.run_.determining})
        upstream = {key: str(before.folder.name) for key, before in self.run_.upstream.items()}
        self.folder.update(
            state="unfinished",
            name=self.run_.name,
            seed=self.run_.seed,
            notes=self._notes(distiller),
            decided=decided(distiller, self.recipe.method),
            upstream=upstream,
            teacher_outputs={role: cache.name for role, cache in caches.items()},
            versions=versions(),
        )

    def _finish(self, fitted: Fitted) -> None:
        known = {role: self._answers(role, "test") for role in self.frozen if self.dataset.test is not None}
        self.measure(known)
        self.folder.update(
            state="finished",
            selected="best" if self.dataset.validation is not None else "last",
            steps=fitted.steps,
            seconds=fitted.seconds,
            validation={"best": fitted.best, "last": fitted.last, "best_step": fitted.best_step},
        )
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)

    def measure(self, known: Mapping[str, Predictions] | None = None) -> None:
        """The figures of a run that has saved its networks, from its files."""
        kinds: tuple[Which, ...] = ("last", "best")
        Measurement(
            self.recipe,
            self.folder,
            self.dataset,
            delivered={which: delivered(self.run_, self.dataset, which)[0] for which in kinds},
            frozen={role: self.joined[role].network for role in self.frozen},
            known=known,
            device=self.context.processes.device,
        ).write()


def _answers_file(split: str) -> str:
    return f"answers-{split}.safetensors"


def fill(run: Run, context: Context) -> None:
    """Store what the frozen networks of a run give, ahead of its training; runs before it are made finished.

    Raises:
        LimbeckError: anything that goes wrong on purpose; what was stored stays, and is completed the next time.
    """
    for before in run.before():
        execute(before, context)
    _Training(run, RunFolder(run.folder), context).fill()


def remeasure(run: Run, context: Context) -> None:
    """Measure a finished run again, from its files.

    Raises:
        RunError: the run is not finished.
    """
    folder = RunFolder(run.folder)
    folder.read("network.json")
    _Training(run, folder, context).measure()
