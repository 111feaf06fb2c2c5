"""Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self Distillation.

Linfeng Zhang, Jiebo Song, Anni Gao, Jingwei Chen, Chenglong Bao, Kaisheng Ma. ICCV 2019, arXiv:1905.08094.

    q_i = softmax(z_i / T)
    L   = CE(y, softmax(z_C)) + Σ_{i<C} [ (1 - α) · CE(y, softmax(z_i))     loss source 1
                                          + α · KL(q_C ‖ q_i)               loss source 2
                                          + λ · ‖F_i - F_C‖² ]              loss source 3

Symbols:

    C             classifiers: a head after each stage but the last (i < C), and the network's own end
    z [b c]       logits of a classifier
    q [b c]       its distribution at temperature T; labels y [b] take temperature 1
    F [b d]       what its linear layer sees: of a head after its bottleneck, of the end the mean of the deepest map
    α             `alpha`; the end has the label term alone, and z_C and F_C take no gradient from the others
    λ             `feature_weight`; ‖·‖² is the sum over the d entries of a feature, and the mean over b examples
    T             `temperature`; no factor T² unless `scaled_by_t2`

With α = λ = 0 this is deep supervision, the baseline against which self-distillation is to be judged.

Differs from the paper: there was only a summary of the paper to work from, without its α, λ and T. α, T and the missing
T² are those of its authors' later code. That takes 0.03 times the norm of a whole batch's difference, not squared;
λ = 0.01 gives about its gradient for a batch of 128 and d = 512 where entries differ by one. A λ belongs to its
reduction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from limbeck.adapters.exit_head import pooled
from limbeck.adapters.exiting import At as Heads
from limbeck.adapters.exiting import Delivers, Exiting
from limbeck.core.bridge import as_shown
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.method import Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At
from limbeck.core.rows import over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import softened_kl
from limbeck.losses.features import squared_distance


@settings
class BYOT(Exiting):
    """Heads inside the network, which learn from the labels and from its end.

    Args:
        at: modules after which heads stand, shallow before deep; `auto` = the ends of all stages but the last.
        deepest: module that gives the deepest map; `auto` = the end of the last stage.
        alpha: α, share of the soft term in a head's loss; the label term has the rest.
        feature_weight: λ, of the squared distance to the deepest feature.
        temperature: T, of both distributions.
        scaled_by_t2: whether the soft terms are multiplied by T².
        delivers: `network` = without heads; `ensemble` = mean of all logits; `early_exit` = leaves where it is sure.
        accuracy_drop: target of early exits: as fast as at most so many percentage points less accuracy allow, with
            twice the noise of the held-out samples added.
        cost: target of early exits: as accurate as this share of the network's operations allows.
    """

    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    at: Heads = "auto"
    deepest: str = "auto"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.3
    feature_weight: Annotated[float, Field(ge=0)] = 0.01
    temperature: Annotated[float, Field(gt=0)] = 3.0
    scaled_by_t2: bool = False
    delivers: Delivers = "network"
    accuracy_drop: Annotated[float, Field(ge=0)] | None = None
    cost: Annotated[float, Field(gt=0)] | None = None

    def roles(self) -> Mapping[str, Kind]:
        """No teacher."""
        return {"student": Kind.TRAINED}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The label term of the end, and those terms of each head whose weight is not zero."""
        student, task = nets["student"](batch), nets.task
        terms = {"task": task.supervised(student, batch)}
        end, feature = task.rows(student, batch), pooled(student.taps[self.deepest])
        for (name, head), tap in zip(nets.adapters.items(), self.taps, strict=True):
            own, logits = head(student.taps[tap])
            answer = ForwardPass(as_shown(nets["student"].model, logits), {})
            if self.alpha < 1:
                terms[f"{name}/labels"] = (1 - self.alpha) * task.supervised(answer, batch)  # source 1
            if self.alpha:
                terms |= over_rows({f"{name}/soft": self._soft}, task.rows(answer, batch), end)
            if self.feature_weight:
                terms[f"{name}/feature"] = self.feature_weight * squared_distance(own, feature)  # source 3
        return terms

    def _soft(self, own: Tensor, end: Tensor, _targets: Tensor | None) -> Tensor:
        scale = self.temperature**2 if self.scaled_by_t2 else 1.0
        return self.alpha * scale * softened_kl(own, end, temperature=self.temperature)  # source 2
