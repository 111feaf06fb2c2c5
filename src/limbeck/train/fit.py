"""The one loop: stages × steps × turns.

    for each stage:   fresh optimisers, one group per trained path; fresh schedule
        for each step:    seed everything from (seed, rank, stage, step); take the step's micro-batches
            for each turn:    forward and backward per micro-batch, then one optimiser step
            log, evaluate, checkpoint when due

Everything random is a function of the seed and the position, and data order is a function of the seed and the step, so
a checkpoint needs no generator states and a resumed training ends with the bits of an uninterrupted one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from limbeck.core.distiller import Distiller
from limbeck.core.errors import Interrupted, MethodError, TrainingError
from limbeck.core.net import Kind, digest
from limbeck.core.plan import At, Stage
from limbeck.train.batches import Batches, Epochs, seed_of
from limbeck.train.devices import open_accelerator
from limbeck.train.interrupts import Interrupts
from limbeck.train.max_norm import MaxNorm
from limbeck.train.metrics import scaled
from limbeck.train.optimizers import check_groups, make_optimizers, match_layout
from limbeck.train.profile import Profile, Section, Timed, untimed
from limbeck.train.record import Describe, Fitted, Record, to_device
from limbeck.train.reordering import reorder_states
from limbeck.train.schedules import multiplier
from limbeck.train.settings import Train, in_steps
from limbeck.train.speed import sped_up


def fit(
    distiller: Distiller,
    batches: Batches | Iterable[Any],
    settings: Train,
    *,
    folder: str | Path | None = None,
    validation: Iterable[Any] | None = None,
    title: str = "training",
    progress: bool = True,
    profile: Profile | None = None,
    describe: Describe | None = None,
) -> Fitted:
    """Train a distiller.

    Args:
        distiller: is trained in place.
        batches: endless and repeatable; or one pass over the data, such as a `DataLoader` (see `Epochs`). This
            process's share when there are several.
        settings: how.
        folder: for metrics, checkpoints and the delivered networks (`student-last.safetensors` and
            `student-best.safetensors`); a training that was interrupted there is resumed. Absent = nothing is written.
        validation: batches of the validation split, iterated at every evaluation.
        title: shown beside the progress bar.
        progress: whether to show one.
        profile: is told where the time goes.
        describe: of a delivered network, what is written beside its weights.

    Raises:
        TrainingError: a loss term is not finite, a frozen network changed, there is no compiler to compile with, or no
            weight that `max_norm` could limit.
        Interrupted: Ctrl-C or termination; the state is saved.
        RunError: a checkpoint is damaged, or the disk is full.
        MethodError: the method chooses what it delivers on a validation split, and there is none.
    """
    folder = None if folder is None else Path(folder)
    if not isinstance(batches, Batches):
        batches = Epochs(batches, seed=settings.seed, accumulate=settings.accumulate)
    if distiller.method.uses_validation() and validation is None:
        raise MethodError(
            f"{type(distiller.method).__name__} chooses what it delivers on the validation split; expected "
            "fit(..., validation=batches), or a method that delivers without choosing"
        )
    stages = tuple(distiller.method.plan())
    if stages:
        check_groups([group["path"] for stage in stages for group in distiller.param_groups(stage)], settings.groups)
    accelerator = open_accelerator(settings.precision, trackers=settings.trackers, folder=folder)
    with sped_up(distiller, settings, accelerator.device):
        distiller.open_all()
        runner = accelerator.prepare(distiller) if stages else distiller  # DDP refuses what nothing ever trains
        try:
            lengths = stage_lengths(stages, settings, batches.steps_per_epoch)
            timed = untimed if profile is None else profile.section
            record = Record(
                distiller,
                batches,
                settings,
                accelerator=accelerator,
                folder=folder,
                validation=validation,
                title=title,
                total=sum(lengths),
                visible=progress,
                timed=timed,
                describe=describe,
            )
            with nullcontext() if profile is None else profile.of(distiller, accelerator.device):
                with record.bar, Interrupts() as interrupts:
                    loop = _Loop(distiller, runner, batches, settings, accelerator, record, interrupts, lengths, timed)
                    for phase in range(record.position.phase, len(stages)):
                        loop.run(phase, stages[phase])
                return record.finish()
        finally:
            accelerator.unwrap_model(runner, keep_fp32_wrapper=False)  # gives `forward` back after mixed precision


def stage_lengths(stages: Sequence[Stage], settings: Train, steps_per_epoch: int) -> list[int]:
    """The steps of each stage, at least one."""
    total = in_steps(settings.length, steps_per_epoch)
    return [max(1, round(total * stage.share)) for stage in stages]


@dataclass
class _Loop:
    """What the steps of one call of `fit` share."""

    distiller: Distiller
    runner: Any  # the distiller, or what Accelerate wrapped it in
    batches: Batches
    settings: Train
    accelerator: Any
    record: Record
    interrupts: Interrupts
    lengths: Sequence[int]
    timed: Timed

    def __post_init__(self) -> None:
        # Accelerate looks these up anew, through its shared state, whenever it is asked
        self.world, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.device = self.accelerator.device
        self.factor: float | None = None  # of the learning rates; new optimisers have had none
        found = [self.distiller[role].served for role in self.distiller.nets]
        self.served = [source for source in found if source is not None]

    def run(self, phase: int, stage: Stage) -> None:
        """All steps of a stage that are left."""
        position, steps = self.record.position, self.lengths[phase]
        resumed = phase == position.phase and position.step > 0
        position.phase, position.step = phase, position.step if resumed else 0
        self.distiller.train()
        with self.timed(Section.SETUP):
            self.factor = None
            self.optimizers = self._make_optimizers(stage, self.record.state["optimizers"] if resumed else None)
            self.max_norm = MaxNorm.of(self.distiller, stage, self.settings.max_norm)
        frozen = self.record.frozen = self._digests()
        if self.record.state.get("frozen", frozen) != frozen:
            raise TrainingError(
                f"stage {stage.name!r}: a frozen network is not the one with which this training was begun, or was "
                "changed by it before it stopped; begin anew in another folder, or with --fresh"
            )
        self.distiller.zero_grad(set_to_none=True)  # of a loss that somebody tried out
        stream = self.batches.batches(position.total)
        for step in range(position.step, steps):
            self._seed(phase, step)
            rate = self._set_rates(step, steps)
            with self.timed(Section.STEP):
                samples = self._step(stage, phase, step, self._next(stream))
            position.step, position.total = step + 1, position.total + 1
            last = step + 1 == steps
            if last and self._digests() != frozen:  # before anything is saved: a saved stage is not looked at again
                raise TrainingError(f"stage {stage.name!r} changed a frozen network's parameters or buffers")
            with self.timed(Section.LOG):
                logged = self.record.after_step(samples=samples, stage=stage.name, rate=rate, last=last)
            self._save_or_stop(logged, last)

    def _next(self, stream: Iterator[Sequence[Any]]) -> Sequence[Any]:
        with self.timed(Section.DATA):
            return next(stream)

    def _step(self, stage: Stage, phase: int, step: int, micro: Sequence[Any]) -> int:
        """All turns of one step; returns the number of samples used over all processes."""
        weights, samples = self._weights(micro)
        turns = self.distiller.turns(
            step,
            self.lengths[phase],
            stage=stage,
            phase=phase,
            seed=self.settings.seed,
            epoch=self.record.position.total / self.batches.steps_per_epoch,
        )
        for at in turns:
            for number, (batch, weight) in enumerate(zip(micro, weights, strict=True), start=1):
                with self._synchronised(number == len(micro)):
                    self._forward_backward(batch, at, weight, completes=number == len(micro))
            with self.timed(Section.OPTIMISER):
                self._optimise()
        reorder_states(self.optimizers, self.distiller.reordered)
        self.record.reorder(self.distiller.reordered)
        return samples

    def _forward_backward(self, batch: Any, at: At, weight: Tensor | float, *, completes: bool) -> None:
        with self.timed(Section.DATA):
            batch = to_device(batch, self.device)
            for source in self.served:
                source.now(batch, self.record.position.total)
        if self.settings.compile:
            torch.compiler.cudagraph_mark_step_begin()  # what the last pass gave may be written over now
        with self.timed(Section.LOSSES):
            terms = self.runner(batch, at)
            loss = scaled(reduce(add, terms.values()), weight)
        with self.timed(Section.BACKWARD):
            if self.settings.precision == "fp16":
                self.accelerator.backward(loss)  # scales the loss first
            else:
                loss.backward()
        with self.timed(Section.LOG):
            self.record.add(terms, self.distiller.observed, weight=weight, completes=completes)

    def _weights(self, micro: Sequence[Any]) -> tuple[list[Tensor | float], int]:
        """Size · world / Σ size: micro-batches and processes of any sizes add up to the one large batch."""
        sizes = [self.distiller.task.size(batch) for batch in micro]
        if self.world == 1:
            return [size / max(sum(sizes), 1) for size in sizes], sum(sizes)
        total = torch.tensor(float(sum(sizes)), device=self.device)
        total = self.accelerator.reduce(total, reduction="sum").clamp_min(1)
        return [size * self.world / total for size in sizes], sum(sizes) * self.world

    def _synchronised(self, last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once per turn, at its last micro-batch."""
        return nullcontext() if last or self.world == 1 else self.accelerator.no_sync(self.runner)

    def _optimise(self) -> None:
        scaler = self.accelerator.scaler if self.settings.precision == "fp16" else None
        moved = self.optimizers
        if scaler is not None:  # one that has no gradient in this turn has nothing to be unscaled
            moved = [one for one in moved if any(parameter.grad is not None for parameter in _parameters_of(one))]
        if self.settings.clip is not None:
            if scaler is not None:
                for optimizer in moved:
                    scaler.unscale_(optimizer)
            parameters = [parameter for optimizer in moved for parameter in _parameters_of(optimizer)]
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        for optimizer in moved:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
        if scaler is not None and moved:
            scaler.update()  # once for all of them
        self.max_norm.keep()  # before the gradients are gone: they tell which layers had a part in this turn
        for optimizer in moved:
            optimizer.zero_grad(set_to_none=True)

    def _make_optimizers(self, stage: Stage, states: list[Any] | None) -> list[Any]:
        groups = self.distiller.param_groups(stage)
        settings = self.settings
        optimizers: list[Any] = make_optimizers(groups, settings.optimizer, settings.groups, decay=settings.decay)
        for optimizer, state in zip(optimizers, states or (), strict=states is not None):
            optimizer.load_state_dict(state)
            match_layout(optimizer)
        return optimizers

    def _set_rates(self, step: int, steps: int) -> float:
        factor = multiplier(self.settings.schedule, step, steps, steps_per_epoch=self.batches.steps_per_epoch)
        if factor != self.factor:
            self.factor = factor
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["base_lr"] * factor
        return self.settings.optimizer.lr * factor

    def _seed(self, phase: int, step: int) -> None:
        seed = seed_of(f"{self.settings.seed}/{self.rank}/{phase}/{step}")
        # torch.manual_seed gives the same numbers, but notes a whole stack trace for every kind of device not in use.
        torch.default_generator.manual_seed(seed)
        random.seed(seed)  # a user's network may draw from these two
        numpy.random.seed(seed % 2**32)  # noqa: NPY002
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(seed)

    def _digests(self) -> dict[str, str]:
        nets = {role: self.distiller[role] for role in self.distiller.nets}
        with self.timed(Section.FROZEN):
            return {role: digest(net.model) for role, net in nets.items() if net.kind is Kind.FROZEN}

    def _save_or_stop(self, logged: bool, last: bool) -> None:
        total, stop = self.record.position.total, self._stop_asked(logged)
        if stop or last or self.record.checkpoint_due():
            with self.timed(Section.CHECKPOINT):
                self.record.checkpoint(self.optimizers)
        if stop and total < sum(self.lengths):
            raise Interrupted(
                f"stopped after step {total} of {sum(self.lengths)}; everything is saved. "
                "Run the same command again to go on from here."
            )

    def _stop_asked(self, agreed: bool) -> bool:
        """One process decides alone; several agree, at the steps at which they wait for each other anyway."""
        if self.world == 1:
            return self.interrupts.asked
        if not agreed:
            return False
        asked = torch.tensor(float(self.interrupts.asked), device=self.device)
        return bool(self.accelerator.reduce(asked, reduction="sum") > 0)


def _parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
