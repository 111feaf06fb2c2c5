"""The gate of a native ensemble: how much each branch counts, for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.adapters.branches import Branches, branch, branched
from limbeck.core.assembled import Assembled
from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError


class Gate(nn.Module):
    """Linear, batch normalisation, ReLU and softmax on the mean of a feature over its places.

    Lan, Zhu, Gong, "Knowledge Distillation by On-the-Fly Native Ensemble", NeurIPS 2018, arXiv:1806.04606, as in the
    authors' code. The ReLU is part of the method: no branch can be gated below one that is gated by zero.

    Args:
        width: channels of the feature.
        branches: how many there are.
    """

    def __init__(self, width: int, branches: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, branches), nn.BatchNorm1d(branches)

    def forward(self, feature: Tensor) -> Float[Tensor, "b k"]:
        """Weights of the branches, which sum to one; from a map [b c h w], tokens [b n c] or a vector [b c].

        Raises:
            MethodError: training on a single sample, which has no spread to be normalised by.
        """
        if self.training and len(feature) < 2:
            raise MethodError(
                "the gate's BatchNorm needs a batch of at least 2 to train on; set a larger data.batch, or "
                "drop_last=True of a DataLoader whose last batch has one sample"
            )
        vector = feature.mean((2, 3)) if feature.ndim == 4 else feature.mean(1) if feature.ndim == 3 else feature
        return self.norm(self.linear(vector)).relu().softmax(-1)


def gated(logits: Float[Tensor, "kb c"], weights: Float[Tensor, "b k"]) -> Float[Tensor, "b c"]:
    """Σ_k g_k z_k: the branches' logits, one after the other along the batch, weighted sample by sample."""
    each = logits.unflatten(0, (weights.shape[1], -1))
    return (weights.T.unsqueeze(-1) * each).sum(0)


class GatedEnsemble(Assembled):
    """A branched network whose gate joins its branches; the trunk runs once.

    Args:
        network: branched, see `limbeck.adapters.branches`.
        gate: on the input of the first branched module; absent = all branches count equally.
        at: path of that module.
    """

    def __init__(self, network: nn.Module, gate: Gate | None, *, at: str) -> None:
        super().__init__()
        self.network, self.gate, self.at = network, gate, at

    def forward(self, images: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c"]:
        """Logits of the ensemble."""
        cut, seen = self._cut(), list[Tensor]()
        handle = cut.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        try:
            logits = self.network(images)
        finally:
            handle.remove()
        if self.gate is None:
            return logits.unflatten(0, (len(cut.copies), -1)).mean(0)
        return gated(logits, self.gate(seen[0]))

    def _cut(self) -> Branches:
        return cast(Branches, inner(self.network).get_submodule(self.at))

    def parts(self) -> Mapping[str, nn.Module]:
        """One branch as a plain network."""
        return {"network": branch(self.network)}

    def facts(self) -> dict[str, Any]:
        """Where the network is branched, into how many, and the gate's width."""
        width = None if self.gate is None else self.gate.linear.in_features
        return {"at": self.at, "branches": len(self._cut().copies), "width": width}

    @classmethod
    def assemble(cls, parts: Mapping[str, nn.Module], example: Tensor, **facts: Any) -> GatedEnsemble:
        """The same network from one built anew."""
        made = branched(parts["network"], lambda model: model(example), at=facts["at"], count=facts["branches"])
        gate = None if facts["width"] is None else Gate(facts["width"], facts["branches"])
        return cls(made, gate, at=facts["at"])
