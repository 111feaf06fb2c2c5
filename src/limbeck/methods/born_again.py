"""Born-Again Neural Networks.

Tommaso Furlanello, Zachary C. Lipton, Michael Tschannen, Laurent Itti, Anima Anandkumar. ICML 2018, arXiv:1805.04770.
The numbers are ours.

    ban      L = CE(p, q)                                                            (1)
    ban+l    L = CE(y, q) + CE(p, q)                                                 (2)
    cwtm     L = Σ_s w_s CE(y_s, q_s),    w_s = max_j p_sj / Σ_u max_j p_uj          (3)
    dkpp     L = CE(φ(p), q), where φ keeps the largest entry of each row of p in its place and permutes the
             others at random, anew for each sample                                  (4)

Symbols:

    z [b c]   student's logits; the student has the teacher's architecture and another seed
    v [b c]   logits of the teacher: the generation before
    q [b c]   softmax(z)
    p [b c]   softmax(v), without a temperature
    y [b]     labels
    w [b]     confidence weights, which sum to one over the batch

`ban` uses no labels. `cwtm` keeps of the teacher only how sure it is, `dkpp` all but which wrong classes it has in
mind: the two show how much of a gain comes from what. A chain of generations is the recipe's key `generations`.

Differs from the paper: KL divergences instead of the cross-entropies with p, as in `kd`: they differ by p's entropy,
which has no gradient. Over several processes the weights of `cwtm` sum to one over the batches of all of them; over
micro-batches they sum to one over each. Samples without a label have no weight, and the label losses of `cwtm` are
smoothed as the task smooths them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from limbeck.core.method import Method, Nets
from limbeck.core.plan import At
from limbeck.core.rows import Factored, Rows, over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import soft_target_kl, with_others_permuted
from limbeck.losses.precision import wide

_NO_WEIGHT = 1e-12


@settings
class BornAgain(Method):
    """A student like its teacher learns from it, at temperature 1.

    Args:
        variant: what of the teacher it learns from: see above.
    """

    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    variant: Literal["ban", "ban+l", "cwtm", "dkpp"] = "ban"

    def uses_unlabelled(self) -> bool:
        """`cwtm` has label losses only."""
        return self.variant != "cwtm"

    def linear_at(self, role: str) -> float | None:
        """CE(p, q) is linear in p; the largest entry of p is not."""
        return 1.0 if self.variant in ("ban", "ban+l") else None

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The soft term, and the label term of `ban+l`; or the weighted label term of `cwtm`."""
        taught, learns = nets["teacher"](batch), nets["student"](batch)
        teacher, student = nets.task.rows(taught, batch), nets.task.rows(learns, batch)
        if self.variant == "cwtm":
            return self._weighted(nets, student, teacher)
        terms = {"task": nets.task.supervised(learns, batch)} if self.variant == "ban+l" else {}  # Eq. 2
        return terms | over_rows({"born_again": self._soft}, student, teacher)

    def _soft(self, student: Tensor, teacher: Tensor, _targets: Tensor | None) -> Tensor:
        if self.variant == "dkpp":
            teacher = with_others_permuted(teacher)  # Eq. 4
        return soft_target_kl(student, teacher, temperature=1.0, reduction="none")  # Eq. 1

    def _weighted(self, nets: Nets, student: Rows, teacher: Rows) -> dict[str, Tensor]:
        if student.targets is None:
            raise ValueError("cwtm weighs label losses, and these rows have no labels")
        sure = _confidence(teacher) * _labelled(student.targets)
        sure = sure if student.weights is None else sure * student.weights
        everywhere = nets.gather(sure)
        # of all processes' weight, this one's share; 1 on a single process
        here = sure.mean() / everywhere.mean().clamp_min(_NO_WEIGHT)
        loss = partial(_label_loss, smoothing=getattr(nets.task, "label_smoothing", 0.0))
        terms = over_rows({"born_again": loss}, replace(student, weights=sure))  # Eq. 3
        return {name: here * value for name, value in terms.items()}


def _label_loss(student: Tensor, _teacher: Tensor | None, targets: Tensor, *, smoothing: float) -> Tensor:
    return F.cross_entropy(student, targets, reduction="none", label_smoothing=smoothing)


def _labelled(targets: Tensor) -> Tensor:
    """1 for each row with a label [n]; a distribution of zeros is none."""
    return (targets.sum(-1) > 0).float() if targets.is_floating_point() else (targets >= 0).float()


def _confidence(teacher: Rows) -> Tensor:
    """max_j p_sj [b]."""
    with torch.no_grad():
        logits = teacher.logits.block(slice(None)) if isinstance(teacher.logits, Factored) else teacher.logits
        return wide(logits).softmax(-1).amax(-1)
