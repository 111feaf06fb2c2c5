"""A network with early exits: who leaves where, how right each exit is, and what other thresholds would have given.

One pass asks every head about every sample; all but the times is then computed from that. Costs include the heads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from limbeck.adapters.exit_thresholds import NEVER, Costs, Point, confidence, left_at, outcome
from limbeck.adapters.exits import AllAnswers, Exits
from limbeck.core.bridge import Bridge
from limbeck.core.errors import DataError, ModelError
from limbeck.evaluate.memory import device_name
from limbeck.evaluate.mode import device_of, evaluating
from limbeck.evaluate.predictions import UNLABELLED, predict
from limbeck.evaluate.timing import Timing, time_in_turns

THRESHOLDS = (0.0, *(tenth / 10 for tenth in range(1, 10)), 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, NEVER)
"""Of the sweep, where all exits have the same one."""
SLOWER = 1.05
"""A network is slower than another one from this ratio of their times on; two times of one network differ by less."""
EXAMPLES = 8
"""Samples that are named for each exit."""
_POOL = 64
_OPEN = 2.0  # above every probability: the head is computed and nobody leaves


@dataclass(frozen=True, eq=False)
class ExitAnswers:
    """What all classifiers of a network say of the samples that have a label. All on the CPU.

    Args:
        logits: float32; shallow before deep, the end last.
        labels: class indices.
        ids: the identity of each sample.
        sure: the confidence at each exit, by which the network decides; among all classes that it knows.
    """

    logits: Float[Tensor, "n m c"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]
    sure: Float[Tensor, "n e"]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def right(self) -> Bool[Tensor, "n m"]:
        """Whether each classifier is right; a tie is won by the class with the lower index."""
        return self.logits.argmax(-1) == self.labels[:, None]


class Prepared(nn.Module):
    """A network on images as bridges prepare them, with its own output.

    Args:
        bridges: the outer before the inner.
        network: what they lead to, or a part of it.
    """

    def __init__(self, bridges: Sequence[Bridge], network: nn.Module) -> None:
        super().__init__()
        self.bridges, self.network = nn.ModuleList(bridges), network

    def forward(self, images: Tensor) -> Tensor:
        """Prepare the images, run the network."""
        for bridge in self.bridges:
            images = cast(Bridge, bridge).prepared(images)
        return self.network(images)


def unbridged(network: nn.Module) -> tuple[list[Bridge], Exits]:
    """The bridges around a network with exits, the outer before the inner, and that network.

    Raises:
        ModelError: there is no network with exits in them.
    """
    bridges = []
    while isinstance(network, Bridge):
        bridges.append(network)
        network = network.network
    if not isinstance(network, Exits):
        raise ModelError(f"expected a network with exits, got {type(network).__name__}")
    return bridges, network


def predict_exits(
    network: nn.Module, batches: Iterable[Any], run: Callable[[nn.Module, Any], Tensor] | None = None
) -> ExitAnswers:
    """Ask all heads of a network about a data set, in evaluation mode; thresholds play no part.

    Args:
        network: `Exits`, in bridges or not; its modes are restored.
        batches: as for `limbeck.evaluate.predictions.predict`.
        run: as there.

    Raises:
        DataError: there is no batch, or no sample has a label.
        ModelError: it is no network with exits.
    """
    bridges, exits = unbridged(network)
    found = predict(Prepared(bridges, AllAnswers(exits)), batches, run)
    found = found.take(found.labels != UNLABELLED)
    if not len(found):
        raise DataError("exits are judged on samples with a label, and there is none")
    logits = found.logits.unflatten(1, (len(exits.at) + 1, -1))
    sure = confidence(logits[:, :-1])
    for bridge in reversed(bridges):
        logits = logits if bridge.columns is None else logits[..., bridge.columns.cpu()]
    return ExitAnswers(logits, found.labels, found.ids, sure)


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


@dataclass(frozen=True)
class Latencies:
    """Median times of one image, measured in turns.

    Args:
        network: without exits.
        exits: of an image that leaves at each exit, and at the end.
    """

    network: float
    exits: tuple[float, ...]


def exit_latencies(
    network: nn.Module, images: Float[Tensor, "n c h w"], *, closed: Sequence[bool], repeats: int = 50
) -> Latencies:
    """The times of one image in ms; the images take turns, and so do the exits and the network without them.

    Args:
        network: `Exits`, in bridges or not; its modes and thresholds are restored.
        images: real ones; where each would leave by itself plays no part.
        closed: which exits are closed; their heads are not computed, and no image can leave there: their time is that
            of the next open exit.
        repeats: timed calls per exit.
    """
    bridges, exits = unbridged(network)
    settings = []
    for number in range(len(exits.at) + 1):
        passed = [NEVER if shut else _OPEN for shut in closed]
        values = [*passed[:number], *(NEVER if shut else 0.0 for shut in closed[number:])]
        settings.append(torch.tensor(values, device=exits.thresholds.device))
    whole, early = Prepared(bridges, exits.network), Prepared(bridges, exits)

    def forced(values: Tensor, image: Tensor) -> None:
        exits.thresholds.copy_(values)
        early(image)

    calls: list[Callable[[Tensor], object]] = [whole, *(partial(forced, values) for values in settings)]
    before = exits.thresholds.clone()
    try:
        alone, *each = _timed(early, calls, images, repeats)
    finally:
        exits.thresholds.copy_(before)
    return Latencies(alone.median_ms, tuple(timing.median_ms for timing in each))


def measure_exits(
    network: nn.Module,
    batches: Iterable[Any],
    *,
    run: Callable[[nn.Module, Any], Tensor] | None = None,
    latency: bool = True,
    repeats: int = 50,
    answers: ExitAnswers | None = None,
) -> dict[str, Any]:
    """All figures of a network with early exits, as JSON has them: what a run keeps as `exits.json`.

    Args:
        network: `Exits`, in bridges or not; its modes and thresholds are restored.
        batches: tuples (images, labels) or (images, labels, ids); once is enough.
        run: how a network runs on a batch (a task's `run`).
        latency: whether to time it; if not, times are None.
        repeats: timed calls.
        answers: what `predict_exits` gave for the same network and batches, so that it need not be asked again.

    Returns:
        `samples`; `network` (without heads) and `early`, each with `accuracy`, `flops` (mean of one image),
        `mean_ms`; of `early` also `median_ms` and `p95_ms` over images drawn evenly from all; `exits`: the rows of
        `statistics` with `name`, `tap` and `median_ms`; `sweep`: `threshold` (None = the network without heads),
        `accuracy`, `shares`, `flops`, `mean_ms`; `ensemble`: the accuracy of the mean of all logits; `timing`: `device`
        and `threads`. A mean time is the mean of the exits' median times over the samples that leave there.

    Raises:
        DataError: there is no batch, or no sample has a label.
        ModelError: it is no network with exits.
    """
    bridges, exits = unbridged(network)
    pool = _Pool(_POOL)
    if answers is None:
        answers = predict_exits(network, pool.filled(batches), run)
    else:
        deque(pool.filled(batches), maxlen=0)  # the images to be timed
    images = pool.images.to(device_of(exits))
    costs = exits.costs(lambda model: Prepared(bridges, model)(images[:1]))
    thresholds = exits.thresholds.tolist()
    times = _Times(network, images, thresholds, repeats) if latency else None
    own, whole = outcome(answers.sure, answers.right, costs, thresholds), costs.trunk[-1]
    rows = statistics(answers, costs, thresholds)
    for number, (row, tap) in enumerate(zip(rows, (*exits.at, None), strict=True)):
        row["name"], row["tap"] = f"exit {number + 1}" if tap else "end", tap
        closed = tap is not None and row["threshold"] is None
        row["median_ms"] = times.of(thresholds)[number] if times and not closed else None
    direct: dict[str, float | None] = {"median_ms": None, "p95_ms": None}
    if latency:
        (timing,) = _timed(network, [network], images, repeats)
        direct = {"median_ms": timing.median_ms, "p95_ms": timing.p95_ms}
    ensemble = (answers.logits.mean(1).argmax(-1) == answers.labels).double().mean().item()
    alone = {"accuracy": answers.right[:, -1].double().mean().item(), "flops": int(whole)}
    return {
        "samples": len(answers),
        "network": {**alone, "mean_ms": times.network if times else None},
        "early": {"accuracy": own.accuracy, "flops": own.cost, "mean_ms": times.mean(own) if times else None, **direct},
        "ensemble": {"accuracy": ensemble},
        "exits": rows,
        "sweep": [_setting(point, times) for point in sweep(answers, costs)],
        "timing": {"device": device_name(device_of(exits)), "threads": torch.get_num_threads()},
    }


class _Times:
    """Times of a network's exits, measured when they are first asked for; which exits are open decides.

    A machine is not equally fast all the time, so each measurement has the network without exits beside it, and what
    is measured later is put in relation to the first.
    """

    def __init__(self, network: nn.Module, images: Tensor, thresholds: Sequence[float], repeats: int) -> None:
        self._network, self._images, self._repeats = network, images, repeats
        closed = tuple(value == NEVER for value in thresholds)
        first = exit_latencies(network, images, closed=closed, repeats=repeats)
        self.network = first.network
        self._known = {closed: first.exits}

    def of(self, thresholds: Sequence[float]) -> Sequence[float]:
        closed = tuple(value == NEVER for value in thresholds)
        if closed not in self._known:
            found = exit_latencies(self._network, self._images, closed=closed, repeats=self._repeats)
            self._known[closed] = tuple(ms * self.network / found.network for ms in found.exits)
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


def _timed(model: nn.Module, calls: Sequence[Callable[[Tensor], object]], images: Tensor, repeats: int) -> list[Timing]:
    """One image at a time, the same for all calls of a round; the model's modes are restored."""
    device = images.device
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else None
    rounds = [partial(_next, call, cycle(images.split(1))) for call in calls]
    with evaluating(model):
        return time_in_turns(rounds, repeats=repeats, at_most_seconds=5.0 * len(calls), wait=wait)


def _next(call: Callable[[Tensor], object], images: Iterator[Tensor]) -> object:
    return call(next(images))


class _Pool:
    """Images drawn evenly from all that pass, in one pass whose length is not known before.

    Every image is kept until there are too many; then every other one is dropped, and from there on as many are passed
    over.

    Args:
        size: how many at most.
    """

    def __init__(self, size: int) -> None:
        self._size, self._stride, self._seen = size, 1, 0
        self._kept: list[Tensor] = []

    def filled(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches as they are."""
        for batch in batches:
            for image in batch[0][-self._seen % self._stride :: self._stride]:
                self._kept.append(image.clone())  # a view would keep the whole batch
            self._seen += len(batch[0])
            while len(self._kept) > self._size:
                self._kept, self._stride = self._kept[::2], 2 * self._stride
            yield batch

    @property
    def images(self) -> Float[Tensor, "n c h w"]:
        """Those that were kept."""
        return torch.stack(self._kept)
