"""Paying More Attention to Attention: Improving the Performance of CNNs via Attention Transfer.

Sergey Zagoruyko, Nikos Komodakis. ICLR 2017, arXiv:1612.03928.

    Q = Σ_c |A_c|^p, as a vector over the places of the map                 section 3.1
    L = w_y · CE(y, softmax(z)) + β · Σ_l mean((Q_S / ‖Q_S‖ - Q_T / ‖Q_T‖)²)   Eq. 2, for each pair of layers

Symbols:

    A [b c h w]   features of a layer; numbers of channels may differ, nothing is learnt for them
    Q [b hw]      where the layer looks
    p             `power`
    β             `weight`
    w_y           `hard_weight`

Differs from the paper: the paper writes β / 2 · Σ ‖…‖, the norm itself; its authors' code takes the mean of the squared
differences over examples and places, to which its β = 1000 belongs, and so does this file. Where two maps differ in
size both are brought to the smaller one by means of their places. Tokens of a transformer are laid out as a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.maps import at_one_size, check_maps, map_size
from limbeck.core.errors import MethodError
from limbeck.core.method import Nets, Shapes
from limbeck.core.pairs import Paired, Pairs
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.losses.features import attention_loss


@settings
class AttentionTransfer(Paired):
    """The student looks where the teacher looks, beside the labels.

    Args:
        taps: pairs of layers, from shallow to deep; `auto` = the ends of equal stages.
        weight: β, of the sum over pairs.
        power: p, to which the absolute features are raised before they are summed.
        hard_weight: w_y, of the label term.
    """

    taps: Pairs = "auto"
    weight: Annotated[float, Field(gt=0)] = 1000.0
    power: Annotated[float, Field(ge=1)] = 2.0
    hard_weight: Annotated[float, Field(ge=0)] = 1.0

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """None; the taps are looked at.

        Raises:
            MethodError: a layer has no map, or a map of one place, whose normalised attention is always 1.
        """
        check_maps(self.tapped(), shapes)
        for pair in self.pairs:
            taps = (("student", pair.student), ("teacher", pair.teacher))
            sizes = [map_size(shapes[role][tap]) for role, tap in taps]
            if all(min(sides) == 1 for sides in zip(*sizes, strict=True)):
                own, other = (f"{height}×{width}" for height, width in sizes)
                raise MethodError(
                    f"attention_transfer: {pair.student!r} of the student and {pair.teacher!r} of the teacher are "
                    f"compared on one place (maps of {own} and {other}), where attention is always the same; choose "
                    "layers before the pooling"
                )
        return super().adapters(nets, shapes)

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The label term, unless its weight is zero, and the attention of all pairs."""
        teacher = nets["teacher"](batch, until=self.pairs[-1].teacher)
        student = nets["student"](batch)
        terms = {"task": self.hard_weight * nets.task.supervised(student, batch)} if self.hard_weight else {}
        maps = [at_one_size(student.taps[pair.student], teacher.taps[pair.teacher]) for pair in self.pairs]
        losses = [attention_loss(own, other, power=self.power) for own, other in maps]  # Eq. 2
        return terms | {"attention": self.weight * sum(losses[1:], losses[0])}
