"""Soft targets beside the attention maps of one tap, and the same losses without a teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from limbeck import KD
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.method import Method, Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At
from limbeck.core.settings import settings


@settings
class Attending(KD):
    """Soft targets, and the attention maps at one tap of each network.

    Args:
        tap: in both networks.
    """

    tap: str

    def taps(self) -> Mapping[str, Sequence[str]]:
        """The same tap in both."""
        return {"student": (self.tap,), "teacher": (self.tap,)}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Those of soft targets, and the difference of the maps."""
        terms = super().terms(nets, batch, at)
        student, teacher = (_attention(nets[role](batch).taps[self.tap]) for role in ("student", "teacher"))
        return {**terms, "attention": F.mse_loss(student, teacher)}


def _attention(features: Tensor) -> Tensor:
    return F.normalize(features.square().mean(1).flatten(), dim=0)


@settings
class OnConstants(Method):
    """Another method's losses without its teacher: wherever that is asked for, one and the same pass answers.

    Args:
        method: of a student and a teacher.
        given: the pass.
    """

    method: Method
    given: ForwardPass

    def roles(self) -> Mapping[str, Kind]:
        """The student."""
        return {"student": Kind.TRAINED}

    def taps(self) -> Mapping[str, Sequence[str]]:
        """The student's."""
        return {"student": self.method.taps().get("student", ())}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Those of the method."""
        return self.method.terms(_Answered(nets, self.given), batch, at)


@dataclass(frozen=True)
class _Answered:
    nets: Nets
    given: ForwardPass

    @property
    def task(self) -> Any:
        return self.nets.task

    def __getitem__(self, role: str) -> Callable[[Any], ForwardPass]:
        return (lambda _batch: self.given) if role == "teacher" else self.nets[role]
