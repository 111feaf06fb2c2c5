"""Similarity-Preserving Knowledge Distillation.

Frederick Tung, Greg Mori. ICCV 2019, arXiv:1907.09682.

    G̃ = Q · Qᵀ,   G = G̃ with each row divided by its length                 Eqs. 1, 2
    L = w_y · CE(y, softmax(z)) + γ / b² · Σ_l ‖G_S - G_T‖²_F               Eqs. 4, 5, for each pair of layers

Symbols:

    Q [b chw]   features of a layer, flat; any shapes on either side
    G [b b]     how much the examples of the batch resemble each other
    γ           `weight`
    w_y         `hard_weight`
    b           examples in the batch; of all processes together, where there are several

Differs from the paper: nothing known. γ = 3000 belongs to the last stage alone and a batch of 128. `auto` takes the
ends of all stages, whose terms add up, and the size of each depends on b: with more layers, another batch, or
micro-batches (`accumulate`), another γ is in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.maps import check_rows
from limbeck.core.errors import MethodError
from limbeck.core.method import Nets, Shapes
from limbeck.core.pairs import Paired, Pairs
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.losses.features import similarity_loss


@settings
class SimilarityPreserving(Paired):
    """Examples that are alike to the teacher become alike to the student, beside the labels.

    Args:
        taps: pairs of layers, from shallow to deep; `auto` = the ends of equal stages.
        weight: γ, of the sum over pairs.
        hard_weight: w_y, of the label term.
    """

    taps: Pairs = "auto"
    weight: Annotated[float, Field(gt=0)] = 3000.0
    hard_weight: Annotated[float, Field(ge=0)] = 1.0

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """None; the taps are looked at.

        Raises:
            MethodError: a layer has no row for each example, or there is one example only, which resembles itself.
        """
        check_rows(self.tapped(), shapes)
        if any(shape[0] < 2 for of_role in shapes.values() for shape in of_role.values()):
            raise MethodError("similarity_preserving compares the examples of a batch; set data.batch to 2 or more")
        return super().adapters(nets, shapes)

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The label term, unless its weight is zero, and the similarities of all pairs."""
        teacher = nets["teacher"](batch, until=self.pairs[-1].teacher)
        student = nets["student"](batch)
        terms = {"task": self.hard_weight * nets.task.supervised(student, batch)} if self.hard_weight else {}
        losses = [
            similarity_loss(nets.gather(student.taps[pair.student]), nets.gather(teacher.taps[pair.teacher]))  # Eq. 4
            for pair in self.pairs
        ]
        return terms | {"similarity": self.weight * sum(losses[1:], losses[0])}
