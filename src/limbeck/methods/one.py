"""Knowledge Distillation by On-the-Fly Native Ensemble.

Xu Lan, Xiatian Zhu, Shaogang Gong. NeurIPS 2018, arXiv:1806.04606. The numbers are ours.

    g   = softmax(ReLU(BN(W · mean(f))))                                             (1)
    z_e = Σ_k g_k z_k                                                                (2)
    L   = Σ_k CE(y, z_k) + CE(y, z_e) + w r(t) Σ_k T² KL(p_e ‖ p_k)                  (3)
    p_k = softmax(z_k / T),   p_e = softmax(z_e / T)                                 (4)
    r(t) = exp(-5 (1 - t / R)²) for t < R, else 1                                    (5)

Symbols:

    K          `branches`: copies of the network's last stages on one trunk
    f [b d …]  the trunk's output
    g [b K]    the gate's weights, which sum to one for each sample
    z_k [b c]  logits of branch k
    z_e [b c]  logits of the ensemble; as a target (p_e) it takes no gradient, in its own label term it does
    y [b]      labels
    T          `temperature`
    w          `soft_weight`: 1, as published; 0 trains the ensemble and distils nothing, an ablation of the paper
    t, R       epochs so far; `ramp`, in epochs: absent, as in the paper, r = 1

Delivered is one branch, which is the network as it was given, or the gated ensemble.

Differs from the paper: the number of branches, the temperature and the gate are those of the authors' code (3, 3.0,
and a ReLU before the softmax); the ramp is that code's option. With `gate: false` all branches count equally, the
paper's own ablation. The first branch keeps the network's initial weights, the others have the same numbers in another
order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.branches import branch, branched, last_stage
from limbeck.adapters.gate import Gate, GatedEnsemble, gated
from limbeck.adapters.maps import check_maps, map_channels
from limbeck.core.errors import MethodError
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.net import Kind
from limbeck.core.plan import At
from limbeck.core.rows import over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import soft_target_kl


@settings
class ONE(Method):
    """Branches on one trunk learn from the labels and from their own ensemble.

    Args:
        at: path of the module at which the branches begin; `auto` = the last stage whose maps are larger than 1×1.
        branches: K, how many there are.
        temperature: T, of the branches and of the ensemble.
        gate: whether the branches' weights are learned.
        soft_weight: w, of the divergences from the ensemble.
        ramp: R, the epochs until the ensemble's targets have their full weight.
        delivers: one branch, or the ensemble.
    """

    needs: ClassVar[tuple[type, ...]] = (HasRows,)
    composable: ClassVar[bool] = False  # the network answers once per branch

    at: str = "auto"
    branches: Annotated[int, Field(ge=2)] = 3
    temperature: Annotated[float, Field(gt=0)] = 3.0
    gate: bool = True
    soft_weight: Annotated[float, Field(ge=0)] = 1.0
    ramp: Annotated[float, Field(gt=0)] | None = None
    delivers: Literal["branch", "ensemble"] = "branch"

    def roles(self) -> Mapping[str, Kind]:
        """One network."""
        return {"student": Kind.TRAINED}

    def looks_at(self) -> Set[str]:
        """The ramp is one of epochs."""
        return {"epoch"} if self.ramp is not None else frozenset()

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """`at: auto` is where the last stage begins."""
        return self if self.at != "auto" else replace(self, at=last_stage(models["student"], run))

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """The network with copies of its tail."""
        return {**models, "student": branched(models["student"], run, at=self.at, count=self.branches)}

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """What the trunk gives, for the gate."""
        return {"student": (self._cut,)} if self.gate else {}

    @property
    def _cut(self) -> str:
        return f"{self.at}:input"

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """The gate.

        Raises:
            MethodError: the trunk ends in a map whose channels come last, of which the gate cannot take the mean.
        """
        if not self.gate:
            return {}
        shape = shapes["student"][self._cut]
        if len(shape) == 4:
            try:
                check_maps(self.tapped(), shapes)
            except MethodError as error:
                raise MethodError(f"{error}, or do without a gate (gate: false)") from error
        return {"gate": Gate(map_channels(shape), self.branches)}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The branches' label terms, the ensemble's, and the branches' divergences from the ensemble."""
        found = nets["student"](batch)
        each = [replace(found, output=logits) for logits in found.output.chunk(self.branches)]
        joined = replace(found, output=self._joined(nets, found.output, found.taps))
        labels = [nets.task.supervised(one, batch) for one in each]
        target = nets.task.rows(joined, batch)
        soft = [over_rows({"one": self._soft}, nets.task.rows(one, batch), target)["one"] for one in each]
        return {  # Eq. 3
            "task": sum(labels[1:], labels[0]),
            "ensemble": nets.task.supervised(joined, batch),
            "one": self.soft_weight * self._ramp(at) * sum(soft[1:], soft[0]),
        }

    def _joined(self, nets: Nets, logits: Tensor, taps: Mapping[str, Tensor]) -> Tensor:
        if not self.gate:
            return logits.unflatten(0, (self.branches, -1)).mean(0)
        return gated(logits, nets.adapters["gate"](taps[self._cut]))  # Eq. 1, 2

    def _soft(self, student: Tensor, ensemble: Tensor, _targets: Tensor | None) -> Tensor:
        return soft_target_kl(student, ensemble, temperature=self.temperature, reduction="none")  # Eq. 4

    def _ramp(self, at: At) -> float:
        if self.ramp is None or at.epoch >= self.ramp:
            return 1.0
        return math.exp(-5 * (1 - at.epoch / self.ramp) ** 2)  # Eq. 5

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """The first branch, or all of them behind the gate."""
        network = nets["student"].model
        if self.delivers == "branch":
            return branch(network)
        return GatedEnsemble(network, nets.adapters["gate"] if self.gate else None, at=self.at)
