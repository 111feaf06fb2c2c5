"""Methods, tasks and settings that show what the loop does: linear networks, no noise, milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller
from limbeck.core.method import Method, Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.settings import settings
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from limbeck.train.settings import SGD, Constant, Train
from little import CLASSES, image_batch

STILL = Constant()


def linear(seed: int = 0) -> nn.Sequential:
    """Pixels to logits; modules 0 flatten, 1 linear."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))


def distiller(method: Method | None = None, models: Mapping[str, nn.Module] | None = None, *, task: Any = None) -> Any:
    """The same bits at every call."""
    method = method or Supervised()
    made = {role: linear(seed) for seed, role in enumerate(method.roles())}
    return Distiller(method, task or Classification(), models or made, image_batch(4))


def plain(length: str, *, lr: float = 0.1, momentum: float = 0.0, **rest: Any) -> Train:
    """SGD at a constant rate."""
    return Train(length=length, optimizer=SGD(lr=lr, momentum=momentum), **{"schedule": STILL, **rest})


@settings
class TwoStages(Method):
    """The label term, twice, each time with optimisers of its own."""

    def roles(self) -> Mapping[str, Kind]:
        return {"student": Kind.TRAINED}

    def plan(self) -> Sequence[Stage]:
        turn = Turn(trains=("student",))
        return (Stage("first", (turn,), share=0.5), Stage("second", (turn,), share=0.5))

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        return {"task": nets.task.supervised(nets["student"](batch), batch)}


@settings
class Spoilt(Method):
    """A term, or only its gradient, stops being a number at a step."""

    step: int = 3
    gradient: bool = False

    def roles(self) -> Mapping[str, Kind]:
        return {"student": Kind.TRAINED}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        student = nets["student"](batch)
        zero = student.output.sum() * 0
        broken = zero.abs().sqrt() if self.gradient else zero / zero.detach()
        return {"task": nets.task.supervised(student, batch), "extra": broken if at.step == self.step else zero}


@settings
class Meddling(KD):
    """Moves the teacher's weights."""

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        with torch.no_grad():
            next(nets["teacher"].model.parameters()).add_(1e-3)
        return super().terms(nets, batch, at)


@settings
class Watching(Supervised):
    """Refuses to teach a student that is not in train mode."""

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        if not all(module.training for module in nets["student"].model.modules()):
            raise AssertionError("the student is in eval mode")
        return super().terms(nets, batch, at)


class Scripted(Classification):
    """A task whose evaluations give the accuracies of a list, and which remembers the weights it was asked about."""

    accuracies: Iterable[float] = ()

    def evaluate(self, model: nn.Module, train: Iterable[Any], test: Iterable[Any]) -> dict[str, float]:
        list(test)
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"accuracy": script[len(seen) - 1], "nll": 1.0}


script: list[float] = []
seen: list[dict[str, Tensor]] = []


def scripted(*accuracies: float) -> Scripted:
    """A task that will find these accuracies; `seen` is emptied."""
    seen.clear()
    script[:] = accuracies
    return Scripted()
