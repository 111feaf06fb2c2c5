"""The limit of distilling as the temperature grows, as a method of its own: logits are matched.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean. Distilling the Knowledge in a Neural Network. arXiv:1503.02531, section 2.1.

    L = 1/(2 N) Σ_i (z_i - v_i)²        z, v centred over the N classes     the limit of T² · KL(p ‖ q)
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from limbeck.core.method import Method, Nets
from limbeck.core.plan import At
from limbeck.core.rows import over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import logit_matching


@settings
class MatchLogits(Method):
    """Half the mean squared difference of centred logits."""

    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The one term."""
        teacher, student = nets["teacher"](batch), nets["student"](batch)
        return dict(over_rows({"kd": _rows}, nets.task.rows(student, batch), nets.task.rows(teacher, batch)))


def _rows(student: Tensor, teacher: Tensor, _targets: Tensor | None) -> Tensor:
    return logit_matching(student, teacher, reduction="none")
