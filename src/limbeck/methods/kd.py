"""Distilling the Knowledge in a Neural Network.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean. NIPS 2014 Deep Learning Workshop, arXiv:1503.02531.

    q_i = exp(z_i / T) / Σ_j exp(z_j / T)                                   Eq. 1
    L   = w · CE(y, softmax(z)) + (1 - w) · T² · KL(p ‖ q)                  section 2

Symbols:

    z [b c]   student's logits
    v [b c]   teacher's logits
    q [b c]   student's distribution at temperature T
    p [b c]   teacher's distribution at temperature T, by the same equation from v
    y [b]     labels; the hard term takes the student at temperature 1
    T         `temperature`
    w         `hard_weight`; 0 = soft targets only, as for a transfer set without labels

An ensemble teaches through the mean of its members' distributions, taken at the same temperature T.

Differs from the paper: the paper minimises the cross-entropy of q against p; the KL divergence used here differs from
it by p's entropy only, so the gradient is the same and the loss is zero at equality. The paper says that a considerably
lower weight on the hard term works best but gives none; 0.1 is the default here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.ensemble import with_teacher_at
from limbeck.core.method import Method, Nets
from limbeck.core.plan import At
from limbeck.core.rows import over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import softened_kl


@settings
class KD(Method):
    """Soft targets of a teacher or an ensemble, beside the labels.

    Args:
        temperature: T, for both networks.
        hard_weight: w, the share of the label term.
    """

    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    temperature: Annotated[float, Field(gt=0)] = 4.0
    hard_weight: Annotated[float, Field(ge=0, le=1)] = 0.1

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """An ensemble is averaged at the temperature at which it teaches."""
        return with_teacher_at(self.temperature, models)

    def linear_at(self, role: str) -> float:
        """T² · KL(p ‖ q) is linear in p, but for p's entropy, which has no gradient."""
        return self.temperature

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The label term (unless its weight is zero) and the soft term."""
        # The teacher first: what its pass needs is free again before the student's activations have to be kept.
        teacher, student = nets["teacher"](batch), nets["student"](batch)
        terms = {}
        if self.hard_weight:
            terms["task"] = self.hard_weight * nets.task.supervised(student, batch)
        return terms | over_rows({"kd": self._soft}, nets.task.rows(student, batch), nets.task.rows(teacher, batch))

    def _soft(self, student: Tensor, teacher: Tensor, _targets: Tensor | None) -> Tensor:
        kl = softened_kl(student, teacher, temperature=self.temperature)  # Eq. 1
        return (1 - self.hard_weight) * self.temperature**2 * kl
