"""Small methods that live in tests only: together they use every feature of the core."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.net import Kind, held
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.settings import settings
from limbeck.losses.divergence import soft_target_kl


@settings
class Hint(Method):
    """One turn: the label term, and a regressor from a student's tap to a teacher's."""

    at: str = "2"
    weight: float = 1.0

    def tapped(self) -> Mapping[str, Sequence[str]]:
        return {"student": (self.at,), "teacher": (self.at,)}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        return {"regressor": nn.Conv2d(shapes["student"][self.at][1], shapes["teacher"][self.at][1], 1)}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        student, teacher = nets["student"](batch), nets["teacher"](batch)
        guess = nets.adapters["regressor"](student.taps[self.at])
        return {
            "task": nets.task.supervised(student, batch),
            "hint": self.weight * F.mse_loss(guess, teacher.taps[self.at]),
        }


@settings
class Staged(Hint):
    """Two stages as in FitNets: first the lower part to the hint, then the whole to the soft targets."""

    def looks_at(self) -> Set[str]:
        return {"fraction"}

    def plan(self) -> Sequence[Stage]:
        return (
            Stage("hint", (Turn("hint_terms", ("student", "adapters.regressor")),), share=0.25),
            Stage("kd", (Turn("kd_terms", {"student": 1.0, "student.0": 0.1}),), share=0.75),
        )

    def hint_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        student, teacher = nets["student"](batch, until=self.at), nets["teacher"](batch, until=self.at)
        return {"hint": F.mse_loss(nets.adapters["regressor"](student.taps[self.at]), teacher.taps[self.at])}

    def kd_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        student, teacher = nets["student"](batch), nets["teacher"](batch)
        soft = soft_target_kl(student.output, teacher.output, temperature=3.0)
        return {"task": nets.task.supervised(student, batch), "kd": (2.0 - at.fraction) * 0.1 * soft}


@settings
class Peers(Method):
    """Mutual learning of several networks, one after the other or all at once."""

    peers: int = 3
    simultaneous: bool = False

    def names(self) -> tuple[str, ...]:
        return ("student", *(f"peer{number}" for number in range(1, self.peers)))

    def roles(self) -> Mapping[str, Kind]:
        return dict.fromkeys(self.names(), Kind.TRAINED)

    def plan(self) -> Sequence[Stage]:
        if self.simultaneous:
            return (Stage(turns=(Turn("all_terms", self.names()),)),)
        return (Stage(turns=tuple(Turn("own_terms", (name,)) for name in self.names())),)

    def own_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        (me,) = at.turn.rates
        return self._of(nets, batch, me)

    def all_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        return {key: value for name in self.names() for key, value in self._of(nets, batch, name).items()}

    def _of(self, nets: Nets, batch: Any, me: str) -> dict[str, Tensor]:
        own = nets[me](batch)
        others = [nets[name](batch).output.detach() for name in self.names() if name != me]
        mutual = [soft_target_kl(own.output, other, temperature=1.0) for other in others]
        return {f"{me}/task": nets.task.supervised(own, batch), f"{me}/kl": torch.stack(mutual).mean()}


@settings
class Critic(Method):
    """A critic tells student from teacher: in one joint turn with `held`, or in two turns."""

    joint: bool = True

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        return {"critic": nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))}

    def plan(self) -> Sequence[Stage]:
        if self.joint:
            return (Stage(turns=(Turn("joint_terms", ("student", "adapters.critic")),)),)
        return (Stage(turns=(Turn("student_terms", ("student",)), Turn("critic_terms", ("adapters.critic",)))),)

    def student_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        student = nets["student"](batch)
        realistic = held(nets.adapters["critic"])(student.output).mean()
        return {"task": nets.task.supervised(student, batch), "realistic": -0.1 * realistic}

    def critic_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        critic, student = nets.adapters["critic"], nets["student"](batch).output.detach()
        return {"critic": 0.1 * (critic(student).sigmoid().mean() - critic(nets["teacher"](batch).output).mean())}

    def joint_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        return self.student_terms(nets, batch, at) | self.critic_terms(nets, batch, at)


@settings
class Momentum(Method):
    """The student learns from labels and from a slowly moving copy of itself; a queue moves after each step."""

    decay: float = 0.9

    def roles(self) -> Mapping[str, Kind]:
        return {"student": Kind.TRAINED, "copy": Kind.MOMENTUM}

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        return {**models, "copy": copy.deepcopy(models["student"])}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        student, target = nets["student"](batch), nets["copy"](batch)
        return {
            "task": nets.task.supervised(student, batch),
            "self": 0.1 * soft_target_kl(student.output, target.output, temperature=1.0),
        }

    def after_step(self, nets: Nets, at: At) -> None:
        pairs = zip(nets["copy"].model.parameters(), nets["student"].model.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1 - self.decay)


@settings
class Ragged(Method):
    """Two turns with a width drawn per step, equal in both turns; delivers another role."""

    def looks_at(self) -> Set[str]:
        return {"rng"}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        return {"head": nn.Linear(3, 3)}

    def plan(self) -> Sequence[Stage]:
        return (Stage(turns=(Turn("wide", ("student",)), Turn("narrow", ("student.9", "adapters.head")))),)

    def wide(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        logits = nets["student"](batch).output[:, : at.rng.choice([2, 3])]
        spread = logits.square().mean()
        return {"task": nets.task.supervised(nets["student"](batch), batch), "spread": 0.01 * spread}

    def narrow(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        return {"head": nets.adapters["head"](nets["student"](batch).output).square().mean() * 0.1}

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        return nn.Sequential(nets["student"].model, nets.adapters["head"])
