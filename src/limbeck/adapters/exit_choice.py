"""Thresholds for a network with exits, chosen on held-out batches."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from limbeck.adapters.exit_thresholds import Costs, Point, chosen, confidence
from limbeck.adapters.exits import AllAnswers, Exits
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.mode import evaluating


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


def _run(task: Any, batch: Any, model: Any) -> Any:
    return task.run(model, batch)
