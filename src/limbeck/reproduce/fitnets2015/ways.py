"""What the two stages of FitNets are compared with: the second stage alone, and both at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.adapters.maps import as_map
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.settings import settings
from limbeck.losses.features import hint_loss
from limbeck.methods.fitnets import FitNets


@settings
class SoftTargets(FitNets):
    """The second stage alone: knowledge distillation with a weight that falls, from the student's first weights."""

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """Itself: no layer is compared."""
        return self

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """Nothing."""
        return {}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """None."""
        return {}

    def plan(self) -> Sequence[Stage]:
        """One stage."""
        return (Stage(turns=(Turn("soft_terms", ("student",)),)),)


@settings
class Joint(FitNets):
    """Hint and soft targets at once, which the paper says does not train its thin deep student."""

    def plan(self) -> Sequence[Stage]:
        """One stage."""
        return (Stage(turns=(Turn("joint_terms", ("student", "adapters.regressor")),)),)

    def joint_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The terms of both stages; each network runs to its end."""
        terms = self.soft_terms(nets, batch, at)
        teacher, student = nets["teacher"](batch), nets["student"](batch)
        guess = nets.adapters["regressor"](student.taps[self.pair.student])
        return terms | {"hint": hint_loss(guess, as_map(teacher.taps[self.pair.teacher]))}
