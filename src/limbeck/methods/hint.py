"""A hint as one term beside the labels: what later papers call FitNet.

Adriana Romero, Nicolas Ballas, Samira Ebrahimi Kahou, Antoine Chassang, Carlo Gatta, Yoshua Bengio. FitNets: Hints for
Thin Deep Nets. ICLR 2015, arXiv:1412.6550.

    L = w_y · CE(y, softmax(z)) + w · Σ_l ½ · ‖u_l - r_l(v_l)‖²             Eq. 3, for each pair of layers

Symbols:

    u [b c h w]   teacher's features, the hint
    v [b d i j]   student's features, the guided layer; r(v) is [b c h w]
    r             regressor, trained beside the student and left behind
    w_y           `hard_weight`
    w             `weight`

The norm is summed over channels and averaged over places and examples, so it is large, and the regressors' objective is
steep: on CIFAR-10, with SGD at a rate of 0.1 and hints at three stages of up to 64 channels, a ResNet-20 diverged at a
weight of 1 within its first 300 steps, and learnt at 0.3, 0.1, 0.03 and 0.01. The default is 0.1.

Differs from the paper: the paper trains in two stages, hints first and soft targets afterwards, and reports that hints
as a further term beside the output loss fail to train its thin deep student; that staged method is `fitnets`. Here the
regressor is a 1×1 convolution and maps are resized, so that any two layers of any two networks fit. Public code that
calls such a term FitNet adds BatchNorm to the regressor and averages over channels too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.maps import as_map, check_maps
from limbeck.adapters.regressor import Activation, Regressor, activation_for
from limbeck.core.method import Nets, Shapes
from limbeck.core.pairs import Paired, Pairs
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.losses.features import hint_loss


@settings
class Hint(Paired):
    """Features of the teacher, guessed from features of the student, beside the labels.

    Args:
        taps: pairs of layers, from shallow to deep; `auto` = the ends of equal stages.
        weight: w, of each hint.
        hard_weight: w_y, of the label term.
        activation: of the regressors' output; `auto` = as the teacher's layer.
    """

    taps: Pairs = "auto"
    weight: Annotated[float, Field(gt=0)] = 0.1
    hard_weight: Annotated[float, Field(ge=0)] = 1.0
    activation: Activation = "auto"

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """One regressor per pair."""
        super().adapters(nets, shapes)
        check_maps(self.tapped(), shapes)
        made: dict[str, nn.Module] = {}
        for number, pair in enumerate(self.pairs):
            student, teacher = shapes["student"][pair.student], shapes["teacher"][pair.teacher]
            activation = activation_for(self.activation, nets["teacher"], pair.teacher, teacher)
            made[f"regressor{number}"] = Regressor(student, teacher, activation=activation)
        return made

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The label term, unless its weight is zero, and the sum of the hints."""
        teacher = nets["teacher"](batch, until=self.pairs[-1].teacher)
        student = nets["student"](batch)
        terms = {"task": self.hard_weight * nets.task.supervised(student, batch)} if self.hard_weight else {}
        hints = [
            hint_loss(regressor(student.taps[pair.student]), as_map(teacher.taps[pair.teacher]))  # Eq. 3
            for pair, regressor in zip(self.pairs, nets.adapters.values(), strict=True)
        ]
        return terms | {"hint": self.weight * sum(hints[1:], hints[0])}
