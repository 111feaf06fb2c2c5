"""A network with early exits: who leaves where, how right each exit is, and what other thresholds would have given.

One pass asks every head about every sample; all but the times is then computed from that. Costs include the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from limbeck.adapters.exit_thresholds import NEVER, Costs, Point, confidence, left_at, outcome
from limbeck.adapters.exits import AllAnswers, Exits
from limbeck.core.errors import DataError
from limbeck.evaluate.memory import device_name
from limbeck.evaluate.mode import device_of, evaluating
from limbeck.evaluate.predictions import UNLABELLED, predict
from limbeck.evaluate.timing import time_calls

THRESHOLDS = (0.0, *(tenth / 10 for tenth in range(1, 10)), 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, NEVER)
"""Of the sweep, where all exits have the same one."""
EXAMPLES = 8
"""Samples that are named for each exit."""
_POOL = 256
_OPEN = 2.0  # above every probability: the head is computed and nobody leaves


@dataclass(frozen=True, eq=False)
class ExitAnswers:
    """What all classifiers of a network say of the samples that have a label. All on the CPU.

    Args:
        logits: float32; shallow before deep, the end last.
        labels: class indices.
        ids: the identity of each sample.
    """

    logits: Float[Tensor, "n m c"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sure(self) -> Float[Tensor, "n e"]:
        """The confidence at each exit."""
        return confidence(self.logits[:, :-1])

    @property
    def right(self) -> Bool[Tensor, "n m"]:
        """Whether each classifier is right; a tie is won by the class with the lower index."""
        return self.logits.argmax(-1) == self.labels[:, None]


def predict_exits(
    exits: Exits, batches: Iterable[Any], run: Callable[[nn.Module, Any], Tensor] | None = None
) -> ExitAnswers:
    """Ask all heads of a network about a data set, in evaluation mode; thresholds play no part.

    Args:
        exits: its modes are restored.
        batches: as for `limbeck.evaluate.predictions.predict`.
        run: as there.

    Raises:
        DataError: there is no batch, or no sample has a label.
    """
    found = predict(AllAnswers(exits), batches, run)
    found = found.take(found.labels != UNLABELLED)
    if not len(found):
        raise DataError("exits are judged on samples with a label, and there is none")
    return ExitAnswers(found.logits.unflatten(1, (len(exits.at) + 1, -1)), found.labels, found.ids)


def sweep(answers: ExitAnswers, costs: Costs, thresholds: Sequence[float] = THRESHOLDS) -> list[Point]:
    """Accuracy, shares and mean cost of each threshold, which all exits have in common.

    Args:
        answers: on any data.
        costs: of one sample.
        thresholds: at each of which all exits are tried.
    """
    sure, right = answers.sure, answers.right
    return [outcome(sure, right, costs, [value] * sure.shape[1]) for value in thresholds]


def statistics(answers: ExitAnswers, costs: Costs, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """For each exit, and the end: who leaves, how right it is about them and about all, and what leaving there costs.

    Args:
        answers: on any data.
        costs: of one sample.
        thresholds: one per exit.

    Returns:
        Rows with `threshold` (None = closed, and of the end), `share`, `accuracy` (of those who leave; None if nobody
        does), `accuracy_of_all`, `flops`, and `examples`: the ids of some who leave, evenly drawn by id.
    """
    left, right, spent = left_at(answers.sure, thresholds), answers.right, costs.leaving(thresholds)
    rows = []
    for number, threshold in enumerate((*thresholds, NEVER)):
        here = left == number
        ids = answers.ids[here].sort().values
        places = torch.linspace(0, max(len(ids) - 1, 0), min(EXAMPLES, len(ids))).round().long()
        rows.append(
            {
                "threshold": threshold if threshold < NEVER else None,
                "share": here.double().mean().item(),
                "accuracy": right[here, number].double().mean().item() if len(ids) else None,
                "accuracy_of_all": right[:, number].double().mean().item(),
                "flops": int(spent[number]),
                "examples": ids[places].tolist(),
            }
        )
    return rows


def exit_latencies(
    exits: Exits, images: Float[Tensor, "n c h w"], *, closed: Sequence[bool], repeats: int = 50
) -> list[float]:
    """The median time in ms of one image that leaves at each exit, and at the end; the images take turns.

    Args:
        exits: its modes and thresholds are restored.
        images: real ones; where each would leave by itself plays no part.
        closed: which exits are closed; their heads are not computed, and no image can leave there: their time is that
            of the next open exit.
        repeats: timed calls per exit.
    """
    times: list[float] = []
    for number in range(len(exits.at) + 1):
        passed = [NEVER if shut else _OPEN for shut in closed]
        values = [*passed[:number], *(NEVER if shut else 0.0 for shut in closed[number:])]
        with _thresholds(exits, values):
            times.append(_timed(exits, images, repeats)["median_ms"])
    return times


def measure_exits(
    exits: Exits,
    batches: Iterable[Any],
    *,
    run: Callable[[nn.Module, Any], Tensor] | None = None,
    latency: bool = True,
    repeats: int = 50,
) -> dict[str, Any]:
    """All figures of a network with early exits, as JSON has them: what a run keeps as `exits.json`.

    Args:
        exits: its modes and thresholds are restored.
        batches: tuples (images, labels) or (images, labels, ids); once is enough.
        run: how a network runs on a batch (a task's `run`).
        latency: whether to time it; if not, times are None.
        repeats: timed calls.

    Returns:
        `samples`; `network` (without heads) and `early`, each with `accuracy`, `flops` (mean of one image),
        `mean_ms`; of `early` also `median_ms` and `p95_ms` over real images as they come; `exits`: the rows of
        `statistics` with `name`, `tap` and `median_ms`; `sweep`: `threshold` (None = the network without heads),
        `accuracy`, `shares`, `flops`, `mean_ms`; `ensemble`: the accuracy of the mean of all logits; `timing`: `device`
        and `threads`. A mean time is the mean of the exits' median times over the samples that leave there.

    Raises:
        DataError: there is no batch, or no sample has a label.
    """
    pool: list[Tensor] = []
    answers = predict_exits(exits, _remembering(batches, pool), run)
    images = torch.cat(pool).to(device_of(exits))
    costs = exits.costs(partial(_run_on, images[:1]))
    thresholds = exits.thresholds.tolist()
    times = _Times(exits, images, repeats) if latency else None
    own, whole = outcome(answers.sure, answers.right, costs, thresholds), costs.trunk[-1]
    rows = statistics(answers, costs, thresholds)
    for number, (row, tap) in enumerate(zip(rows, (*exits.at, None), strict=True)):
        row["name"], row["tap"] = f"exit {number + 1}" if tap else "end", tap
        closed = tap is not None and row["threshold"] is None
        row["median_ms"] = times.of(thresholds)[number] if times and not closed else None
    direct = _timed(exits, images, repeats) if latency else {"median_ms": None, "p95_ms": None}
    ensemble = (answers.logits.mean(1).argmax(-1) == answers.labels).double().mean().item()
    network = {"accuracy": answers.right[:, -1].double().mean().item(), "flops": int(whole)}
    return {
        "samples": len(answers),
        "network": {**network, "mean_ms": times.network if times else None},
        "early": {"accuracy": own.accuracy, "flops": own.cost, "mean_ms": times.mean(own) if times else None, **direct},
        "ensemble": {"accuracy": ensemble},
        "exits": rows,
        "sweep": [_setting(point, times) for point in sweep(answers, costs)],
        "timing": {"device": device_name(device_of(exits)), "threads": torch.get_num_threads()},
    }


class _Times:
    """Times of a network's exits, measured when they are first asked for; which exits are open decides."""

    def __init__(self, exits: Exits, images: Tensor, repeats: int) -> None:
        self._exits, self._images, self._repeats = exits, images, repeats
        self._known: dict[tuple[bool, ...], list[float]] = {}
        self.network = _timed(exits.network, images, repeats)["median_ms"]

    def of(self, thresholds: Sequence[float]) -> list[float]:
        closed = tuple(value == NEVER for value in thresholds)
        if closed not in self._known:
            found = exit_latencies(self._exits, self._images, closed=closed, repeats=self._repeats)
            self._known[closed] = found
        return self._known[closed]

    def mean(self, point: Point) -> float:
        return sum(share * ms for share, ms in zip(point.shares, self.of(point.thresholds), strict=True))


def _setting(point: Point, times: _Times | None) -> dict[str, Any]:
    (threshold, *_) = point.thresholds
    return {
        "threshold": threshold if threshold < NEVER else None,
        "accuracy": point.accuracy,
        "shares": list(point.shares),
        "flops": point.cost,
        "mean_ms": times.mean(point) if times else None,
    }


def _timed(model: nn.Module, images: Tensor, repeats: int) -> dict[str, float]:
    """One image at a time, each in its turn."""
    device, turn = images.device, cycle(images.split(1))
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else None
    with evaluating(model):
        timing = time_calls(lambda: model(next(turn)), repeats=repeats, at_most_seconds=5.0, wait=wait)
    return {"median_ms": timing.median_ms, "p95_ms": timing.p95_ms}


@contextmanager
def _thresholds(exits: Exits, values: Sequence[float]) -> Iterator[None]:
    before = exits.thresholds.clone()
    exits.thresholds.copy_(torch.tensor(values))
    try:
        yield
    finally:
        exits.thresholds.copy_(before)


def _remembering(batches: Iterable[Any], pool: list[Tensor]) -> Iterator[Any]:
    """The batches, with the first images kept."""
    count = 0
    for batch in batches:
        if count < _POOL:
            pool.append(batch[0][: _POOL - count])
            count += len(pool[-1])
        yield batch


def _run_on(images: Tensor, model: nn.Module) -> Tensor:
    return model(images)
