"""Thresholds for a network with exits, chosen on held-out batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.adapters.exit_head import heads_for
from limbeck.adapters.exit_thresholds import Costs, Point, chosen, confidence
from limbeck.adapters.exits import AllAnswers, Exits
from limbeck.core.errors import MethodError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.method import Shape
from limbeck.core.mode import evaluating
from limbeck.core.net import Kind, Net


def open_exits(
    exits: Exits,
    task: Any,
    train: Iterable[Any],
    validation: Iterable[Any],
    *,
    accuracy_drop: float | None,
    cost: float | None,
) -> None:
    """Set the thresholds of a network that is delivered; see `choose_thresholds`.

    Args:
        exits: its thresholds are set.
        task: runs networks, and says which class is right (`rows`).
        train: without a batch here only the kind of network is asked for, and its exits may stay as they are.
        validation: batches of held-out samples.
        accuracy_drop: in percentage points.
        cost: as a share of the network's operations without heads.

    Raises:
        MethodError: there is no validation batch, or the target cannot be reached.
    """
    found = choose_thresholds(exits, task, validation, accuracy_drop=accuracy_drop, cost=cost)
    if found is None and next(iter(train), None) is not None:
        raise MethodError("early exits need a validation split to choose their thresholds on, and there is none")


def choose_thresholds(
    exits: Exits,
    task: Any,
    batches: Iterable[Any],
    *,
    accuracy_drop: float | None = None,
    cost: float | None = None,
) -> Point | None:
    """Set the thresholds to reach a target; see `limbeck.adapters.exit_thresholds.chosen`.

    Operations stand for time: their ratios between exits are those of this network on this size of images.

    Args:
        exits: its thresholds are set; its modes are restored.
        task: runs networks, and says which class is right (`rows`).
        batches: of samples that nothing is trained on; those without a label do not count.
        accuracy_drop: in percentage points.
        cost: as a share of the network's operations without heads.

    Returns:
        What the thresholds come to on these samples; None, and nothing is set, if there is no batch.

    Raises:
        MethodError: no sample has a label, or no thresholds reach the cost.
    """
    sure: list[Tensor] = []
    right: list[Tensor] = []
    costs: Costs | None = None
    everything = AllAnswers(exits)
    with evaluating(everything):
        for batch in batches:
            logits = task.run(everything, batch).unflatten(1, (len(exits.at) + 1, -1))
            labels = task.rows(ForwardPass(logits[:, -1], {}), batch).targets
            known = labels >= 0
            sure.append(confidence(logits[known, :-1]))
            right.append(logits[known].argmax(-1) == labels[known, None])
            costs = costs or exits.costs(partial(_run, task, batch))
    if costs is None:
        return None
    found = chosen(torch.cat(sure).cpu(), torch.cat(right).cpu(), costs, accuracy_drop=accuracy_drop, cost=cost)
    exits.thresholds.copy_(torch.tensor(found.thresholds))
    return found


def check_cost(
    network: nn.Module, at: Sequence[str], deepest: str, run: Callable[[nn.Module], Any], *, cost: float
) -> None:
    """Find out whether a target can be reached at all, by what it costs to leave every sample at one exit.

    Args:
        network: with a bridge or without; its modes are restored.
        at: taps of the heads, shallow before deep.
        deepest: tap of the deepest features.
        run: runs a network on an example of at least two samples.
        cost: mean operations that are asked for, as a share of the network's without heads.

    Raises:
        MethodError: even the cheapest exit costs more.
    """
    taps = (*at, deepest)
    net = Net(network, lambda model, _: run(model), taps=taps, kind=Kind.FROZEN)
    try:
        taps_of = net.probe(None).taps
        shapes = {path: Shape.of(tensor, given=net.input_shape) for path, tensor in taps_of.items()}
    finally:
        net.close()
    check_reachable(Exits(network, heads_for(taps, shapes, net.output_shape), at=at), run, cost=cost)


def check_reachable(exits: Exits, run: Callable[[nn.Module], Any], *, cost: float) -> None:
    """Find out whether a network that has its heads can reach a cost; see `check_cost`.

    Args:
        exits: its modes are restored.
        run: runs a network on an example of at least two samples.
        cost: as for `check_cost`.

    Raises:
        MethodError: even the cheapest exit costs more.
    """
    costs, at = exits.costs(run), exits.at
    alone = [trunk + head for trunk, head in zip(costs.trunk, costs.heads, strict=False)]
    least = min(alone) / costs.trunk[-1]
    if least > cost:
        raise MethodError(
            f"cost: {cost:.0%} of the network's operations cannot be reached: to leave all samples at the cheapest "
            f"exit, {at[alone.index(min(alone))]!r}, costs {least:.0%} with its head; ask for more, or for a shallower "
            "exit"
        )


def _run(task: Any, batch: Any, model: Any) -> Any:
    return task.run(model, batch)
