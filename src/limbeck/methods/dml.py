"""Deep Mutual Learning.

Ying Zhang, Tao Xiang, Timothy M. Hospedales, Huchuan Lu. CVPR 2018, arXiv:1706.00384. The numbers are ours.

    L_k = CE(y, p_k) + 1 / (K - 1) Σ_{l≠k} KL(p_l ‖ p_k)                             (1)
    L_k = CE(y, p_k) + KL(p̄_k ‖ p_k),    p̄_k = 1 / (K - 1) Σ_{l≠k} p_l               (2)  target: mean
    H_k = -Σ_j p_kj log p_kj                                                         (3)

Symbols:

    K         `peers`, the number of networks that learn from each other
    z_k [b c] logits of network k
    p_k [b c] softmax(z_k), without a temperature; as a target it takes no gradient
    y [b]     labels
    H_k [b]   the entropy of p_k, recorded as `entropy`: the paper's explanation is that peers keep it high

The networks are the roles `student`, `peer1`, `peer2`, … A recipe may give each its own architecture; those that it
does not give are like the student, with initial weights of their own. `updates: sequential` is the paper's algorithm:
in each step the networks are updated one after the other, each against its peers as they are after their updates.
`updates: simultaneous` updates all against their peers as they were: a slightly different method, and (K + 2) / 3 times
cheaper, because nothing is computed twice. How each does on the validation split is recorded as `peer1/validation/…`
wherever the best is looked for. With `train.clip` all that are updated at once have one norm together.

Differs from the paper: in a sequential step a network that is not being updated answers with batch statistics, like one
that is, but its running statistics move only at its own update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.ensemble import Ensemble
from limbeck.core.errors import MethodError
from limbeck.core.method import Method, Nets
from limbeck.core.mode import evaluating
from limbeck.core.net import Kind, digest
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.rows import Factored, Rows, over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import entropy, mean_distribution, soft_target_kl


@settings
class DML(Method):
    """Networks that learn from each other, and from the labels.

    Args:
        peers: K, all networks counted.
        updates: one after the other within a step, or all at once.
        target: the mean of the divergences from each peer, or the divergence from the peers' mean.
        delivers: the best network by validation, the first one, or all as an ensemble.
    """

    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    peers: Annotated[int, Field(ge=2)] = 2
    updates: Literal["sequential", "simultaneous"] = "sequential"
    target: Literal["each", "mean"] = "each"
    delivers: Literal["best", "student", "ensemble"] = "best"

    def roles(self) -> Mapping[str, Kind]:
        """K networks, all trained."""
        return dict.fromkeys(("student", *self.alike()), Kind.TRAINED)

    def alike(self) -> Mapping[str, str]:
        """Peers that a recipe does not give are like the student."""
        return {f"peer{number}": "student" for number in range(1, self.peers)}

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """As given.

        Raises:
            MethodError: two of them are one network, or begin with equal weights: neither could teach the other; or
                they tell apart different numbers of classes.
        """
        given = [(role, models[role]) for role in self.roles() if role in models]
        for (one, network), (other, peer) in combinations(given, 2):
            if {id(p) for p in network.parameters()} & {id(p) for p in peer.parameters()}:
                raise MethodError(f"DML: {one!r} and {other!r} share parameters; give each a network of its own")
            if digest(network) == digest(peer):
                raise MethodError(
                    f"DML: {one!r} and {other!r} begin with equal weights, so they would stay equal and teach each "
                    "other nothing; expected initial weights of their own: build each from another seed"
                )
        _check_answers(given, run)
        return models

    def plan(self) -> Sequence[Stage]:
        """One turn for all, or one turn each."""
        roles = tuple(self.roles())
        turns = (Turn(trains=roles),) if self.updates == "simultaneous" else tuple(Turn(trains=(r,)) for r in roles)
        return (Stage(turns=turns),)

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The terms of the networks that the turn trains."""
        rows = {role: nets.task.rows(nets[role](batch), batch) for role in self.roles()}
        terms: dict[str, Tensor] = {}
        for role in at.turn.rates:
            name = "" if role == "student" else f"{role}/"
            peers = [other for other_role, other in rows.items() if other_role != role]
            terms[f"{name}task"] = nets.task.supervised(nets[role](batch), batch)
            terms[f"{name}kl"] = self._divergence(rows[role], peers)
            nets.observe(f"{name}entropy", over_rows({"h": lambda z, *_: entropy(z)}, rows[role])["h"])  # Eq. 3
        return terms

    def _divergence(self, own: Rows, peers: Sequence[Rows]) -> Tensor:
        if self.target == "mean":  # Eq. 2
            mean = mean_distribution([_logits(peer).detach() for peer in peers], mean="arithmetic")
            peers = [Rows(mean)]
        each = [over_rows({"kl": _kl}, own, peer)["kl"] for peer in peers]
        return sum(each[1:], each[0]) / len(each)  # Eq. 1

    def uses_validation(self) -> bool:
        """To tell which network is the best."""
        return self.delivers == "best"

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """One of the networks, or their mean.

        Raises:
            MethodError: there is no validation batch to find the best one on.
        """
        models = [nets[role].model for role in self.roles()]
        if self.delivers == "ensemble":
            return Ensemble(models)
        if self.delivers == "student":
            return models[0]
        if next(iter(validation), None) is None:
            # Without a training batch only the kind of network is asked for.
            if next(iter(train), None) is not None:
                raise MethodError(
                    "DML delivers the best peer by validation, and there is no validation split; give one, or set "
                    "delivers: student or ensemble"
                )
            return models[0]
        scores = []
        for role, model in zip(self.roles(), models, strict=True):
            metrics = nets.task.evaluate(model, (), validation)
            scores.append(nets.task.score(metrics))
            for name, value in metrics.items():
                nets.observe(f"{role}/validation/{name}", torch.tensor(value, dtype=torch.float64))
        return models[scores.index(max(scores))]


def _check_answers(given: Sequence[tuple[str, nn.Module]], run: Callable[[nn.Module], Any]) -> None:
    """Peers answer in one shape; the losses would notice a difference at the first step only."""
    shapes = {}
    for role, network in given:
        with evaluating(network):
            answer = run(network)
        if isinstance(answer, Tensor):
            shapes[role] = tuple(answer.shape[1:])
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{role} {list(shape)}" for role, shape in shapes.items())
        raise MethodError(f"DML: peers must answer in one shape, such as the same classes; for each sample: {told}")


def _kl(own: Tensor, peer: Tensor, _targets: Tensor | None) -> Tensor:
    return soft_target_kl(own, peer, temperature=1.0, reduction="none")


def _logits(rows: Rows) -> Tensor:
    return rows.logits.block(slice(None)) if isinstance(rows.logits, Factored) else rows.logits
