"""What a training leaves behind: metrics, the best network by validation, checkpoints, the delivered networks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from pydantic.fields import FieldInfo
from torch import Tensor, nn

from limbeck.core.bridge import inner
from limbeck.core.distiller import Distiller
from limbeck.core.errors import RunError, TrainingError
from limbeck.core.files import write_json
from limbeck.core.net import tensors_in
from limbeck.models.weights import save_weights
from limbeck.train.batches import Batches, Epochs, Repeatable, seeded
from limbeck.train.checkpoints import Position, load_checkpoint, save_checkpoint
from limbeck.train.devices import main_alone
from limbeck.train.ema import Ema
from limbeck.train.metrics import NOT_FINITE, MetricsFile, TermSums
from limbeck.train.profile import Section, Timed, untimed
from limbeck.train.progress import TrainingProgress
from limbeck.train.reordering import Reordered
from limbeck.train.settings import NOT_DETERMINING, Train, in_steps, parse_length

Describe = Callable[[nn.Module], Mapping[str, Any]]
"""Says of a network, as plain data, how it is built."""


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Args:
        steps: of all stages.
        seconds: in training, over all attempts.
        last: metrics of the delivered network on the validation split; empty without one, and in other processes than
            the main one, which alone looks at it.
        best: the same of the best network met.
        best_step: the step after which it was met.
    """

    steps: int
    seconds: float
    last: dict[str, float]
    best: dict[str, float]
    best_step: int


class Record:
    """The record of one training; only the main process writes.

    Args:
        distiller: what is trained.
        batches: its data.
        settings: how it is trained.
        accelerator: its device and processes.
        folder: where to write; absent = nowhere.
        validation: batches of the validation split, if there is one.
        title: shown beside the bar.
        total: steps of all stages.
        visible: whether to show progress.
        timed: opens a section of the profile, if one is taken.
        describe: of a delivered network, what is written beside its weights.
    """

    def __init__(
        self,
        distiller: Distiller,
        batches: Batches,
        settings: Train,
        *,
        accelerator: Accelerator,
        folder: Path | None,
        validation: Iterable[Any] | None,
        title: str,
        total: int,
        visible: bool,
        timed: Timed = untimed,
        describe: Describe | None = None,
    ) -> None:
        self._timed, self._describe = timed, describe
        self._distiller, self._batches, self._settings = distiller, batches, settings
        self._accelerator, self._validation, self._title = accelerator, validation, title
        self._main = accelerator.is_main_process
        self._folder = folder if self._main else None
        self._ema = Ema(distiller, settings.ema) if settings.ema else None
        found = load_checkpoint(folder / "checkpoints") if folder is not None else None
        self.position, self.state = found or (Position(), {})
        self._training = _determining(distiller, settings)
        self.frozen: dict[str, str] = {}
        """Role -> digest of its frozen network, as the stage began."""
        if self.state:
            _check_same(self.state.get("training", self._training), self._training, folder)
            distiller.load_state(self.state["distiller"])
            if self._ema is not None:
                self._ema.load(self.state["ema"])
            if "scaler" in self.state:
                accelerator.scaler.load_state_dict(self.state["scaler"])
        path = None if self._folder is None else self._folder / "metrics.jsonl"
        self._metrics = MetricsFile(path, keep_bytes=self.position.log_bytes)
        self._sums, self._observed, self._last = TermSums(), TermSums(), dict[str, float]()
        self._log_every, self._evaluate_every = (self._steps(every) for every in (settings.log, settings.evaluate))
        self._checkpoint = self._interval(settings.checkpoint)
        self._samples, self._before = 0, self.position.seconds
        self._stage, self._rate = "main", 0.0
        self._began = self._saved = self._read = time.monotonic()
        self.bar = TrainingProgress(title, total, start=self.position.total, visible=visible and self._main)
        if settings.trackers:
            accelerator.init_trackers(title.replace("/", "-"))

    def _steps(self, interval: str) -> int:
        return max(1, in_steps(interval, self._batches.steps_per_epoch))

    def _interval(self, text: str) -> tuple[float, Literal["step", "second"]]:
        number, unit = parse_length(text)
        if unit in ("second", "minute"):
            return number * (60 if unit == "minute" else 1), "second"
        return self._steps(text), "step"

    def add(
        self, terms: Mapping[str, Tensor], observed: Mapping[str, Tensor], *, weight: Tensor | float, completes: bool
    ) -> None:
        """Add the terms of a micro-batch, what was observed beside them, and whether it completes its turn."""
        self._sums.add(terms, weight=weight, counts=completes)
        if observed:
            self._observed.add(observed, weight=weight, counts=completes)

    def after_step(self, *, samples: int, stage: str, rate: float, last: bool) -> bool:
        """Log, evaluate and save what is due after a step; returns whether metrics were read.

        Args:
            samples: that the step used, over all processes.
            stage: its name.
            rate: the learning rate of a group without a multiplier.
            last: whether it was the stage's last.
        """
        self._samples, self._stage, self._rate = self._samples + samples, stage, rate
        if self._ema is not None:
            with self._timed(Section.AVERAGE):
                self._ema.update()
        total = self.position.total
        logged = last or total % self._log_every == 0
        if logged:
            self.log()
        if last or total % self._evaluate_every == 0:
            self.evaluate()
        self.bar.advance(total)
        return logged

    def reorder(self, reordered: Iterable[Reordered]) -> None:
        """Let the average follow tensors whose entries were put in another order."""
        if self._ema is not None:
            self._ema.reorder(reordered)

    def checkpoint_due(self) -> bool:
        """Whether `train.checkpoint` asks for one now: in work by the step, in time since the last one."""
        number, unit = self._checkpoint
        if unit == "step":
            return self.position.total % number == 0
        return time.monotonic() - self._saved >= number

    def log(self) -> None:
        """Write and show the mean terms since the last time; raises TrainingError when one is not finite."""
        terms = self._sums.read(where=f"{self._title}, step {self.position.total}")
        if not terms:
            return
        now = time.monotonic()
        speed = self._samples / max(now - self._read, 1e-9)
        self._samples, self._read = 0, now
        observed = self._observed.read(where=f"{self._title}, step {self.position.total}")
        found = {"terms": terms} | ({"observed": observed} if observed else {})
        self._write({"lr": self._rate, "samples_per_second": round(speed, 1), **found})
        self.bar.show(terms, samples_per_second=speed)

    def _write(self, entry: dict[str, Any]) -> None:
        epoch = round(self.position.total / self._batches.steps_per_epoch, 4)
        place = {"step": self.position.total, "epoch": epoch, "stage": self._stage}
        self._metrics.write({**place, "seconds": round(self._seconds(), 3), **entry})
        if self._settings.trackers:
            nested = {f"{n}/{k}": v for n, part in entry.items() if isinstance(part, dict) for k, v in part.items()}
            flat = {name: value for name, value in entry.items() if isinstance(value, float)}
            self._accelerator.log(nested | flat, step=self.position.total)

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def evaluate(self) -> None:
        """Look at the validation split; keep the best network seen there. Other processes wait for the main one."""
        if self._validation is None:
            return
        with main_alone(self._accelerator) as main:
            if main:
                self._look()

    def _look(self) -> None:
        with self._timed(Section.EVALUATION), self._averaged():
            self._distiller.observed = {}
            network = self._delivered()
            observed = {
                name: float(value) for name, value in self._distiller.observed.items()
            }  # by the method's choice
            metrics = dict(self._distiller.task.evaluate(network, (), self._validation_batches()))
            score = self._distiller.task.score(metrics)
            self._last = metrics
            self._write({"validation": metrics} | ({"observed": observed} if observed else {}))
            if not self.position.best_score or score > self.position.best_score:
                self.position.best, self.position.best_score = metrics, score
                self.position.best_total = self.position.total
                self._save(network, "best")

    def _averaged(self) -> AbstractContextManager[None]:
        return self._ema.applied() if self._ema is not None else nullcontext()

    def _validation_batches(self) -> Iterator[Any]:
        for batch in self._validation or ():
            yield to_device(batch, self._accelerator.device)

    def _delivered(self) -> nn.Module:
        """What would be delivered now. What the method reads of the training data changes nothing in training.

        Whatever it draws is the same each time, so what is written is what was measured.
        """
        reading = self._batches.undisturbed() if isinstance(self._batches, Epochs) else nullcontext()
        with reading, seeded(f"{self._settings.seed}/delivered"):
            return self._deliver()

    def _deliver(self) -> nn.Module:
        train = (to_device(batch, self._accelerator.device) for micro in self._batches.batches() for batch in micro)
        held_out = () if self._validation is None else Repeatable(lambda _: self._validation_batches(), None)
        return self._distiller.deliver(train, held_out)

    def _save(self, network: nn.Module, *names: Literal["best", "last"]) -> None:
        if self._folder is None:
            return
        with self._timed(Section.CHECKPOINT):
            for name in names:
                save_weights(inner(network), self._folder / f"student-{name}.safetensors")
            if self._describe is not None:
                self._save_description(self._describe(network), best="best" in names)

    def _save_description(self, described: Mapping[str, Any], *, best: bool) -> None:
        """One file serves for both networks unless they differ, as when the best of several peers changes."""
        usual, last = (Path(self._folder or "") / name for name in ("network.json", "network-last.json"))
        if best:
            write_json(usual, described)
            last.unlink(missing_ok=True)
        elif not usual.is_file() or json.loads(usual.read_text()) != json.loads(json.dumps(described)):
            write_json(last, described)

    def checkpoint(self, optimizers: list[Any]) -> None:
        """Save everything needed to go on from here."""
        self.log()  # finds a loss that is not finite before it is saved
        self._check_weights()
        if self._folder is not None:
            self.position.seconds, self.position.log_bytes = self._seconds(), self._metrics.bytes
            state = {
                "distiller": self._distiller.state(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "ema": {} if self._ema is None else self._ema.state,
                "frozen": self.frozen,
                "training": self._training,
            }
            if self._accelerator.scaler is not None:  # of fp16: without it the scale is searched for once more
                state["scaler"] = self._accelerator.scaler.state_dict()
            save_checkpoint(self._folder / "checkpoints", self.position, state)
        self._saved = time.monotonic()

    def _check_weights(self) -> None:
        """A gradient can be broken where the loss is not; the next loss would show it, but only after this is saved."""
        kept = self._distiller.state()
        trained = {name: tensor for name, tensor in self._distiller.named_parameters() if name in kept}
        finite = torch.stack([tensor.detach().isfinite().all() for tensor in trained.values()]).tolist()
        broken = [name for name, fine in zip(trained, finite, strict=True) if not fine]
        if broken:
            where = f"{self._title}, step {self.position.total}"
            raise TrainingError(f"{where}: a gradient was not finite, nor is {broken[0]!r} since. {NOT_FINITE}")

    def finish(self) -> Fitted:
        """Write the delivered networks. With an average, that is what stays in the distiller."""
        if self.position.total == 0:  # a plan without stages has trained nothing, but its network can be judged
            self.evaluate()
        for tracker in self._accelerator.trackers:
            tracker.finish()
        with main_alone(self._accelerator) as main:
            if main and not self._last and self._validation is not None:  # resumed after the last step: figures only
                with self._timed(Section.EVALUATION), self._averaged():
                    self._last = dict(self._distiller.task.evaluate(self._delivered(), (), self._validation_batches()))
            if self._ema is not None:
                self._ema.keep()
            if main:
                self._save(self._delivered(), *(("last",) if self._validation is not None else ("best", "last")))
        position = self.position
        return Fitted(position.total, self._seconds(), self._last, position.best, position.best_total)


def _determining(distiller: Distiller, settings: Train) -> dict[str, str]:
    """What determines a training, beside its data and networks: the method, and settings that are not as by default.

    Not those that make steps faster: a training may go on under others, with the rounding of these.
    """
    chosen, method = _chosen(settings, "train"), distiller.method
    for name in (*NOT_DETERMINING, "channels_last", "compile", "teacher_outputs"):
        chosen.pop(f"train.{name}", None)
    return {"method": type(method).__name__, **_chosen(method, "method"), **chosen}


def _chosen(settings: Any, prefix: str) -> dict[str, str]:
    """What settings say beyond their defaults, so that a field that is added later changes nothing."""
    found = {}
    for field in fields(settings):
        usual, value = field.default, getattr(settings, field.name)
        if isinstance(usual, FieldInfo):
            usual = usual.get_default(call_default_factory=True)
        if value != usual:
            found[f"{prefix}.{field.name}"] = repr(value)
    return found


def _check_same(before: Mapping[str, str], now: Mapping[str, str], folder: Path | None) -> None:
    """Raise RunError when a folder holds the checkpoint of another training."""
    other = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if other:
        key = other[0]
        raise RunError(
            f"{folder} holds a training with {key} = {before.get(key, 'the default')}, this one has "
            f"{now.get(key, 'the default')}; expected the same to go on with: take another folder, or delete this one"
        )


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch on a device; the same object when it is there already, because a forward pass is remembered by it."""
    if all(tensor.device == device for tensor in tensors_in(batch)):
        return batch
    return send_to_device(batch, device, non_blocking=True)
