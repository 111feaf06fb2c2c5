"""A network with early exits as one ONNX graph in which what comes after an exit runs only if somebody needs it.

The network is first written with the logits of all open heads as outputs. Then its nodes are dealt out: those that the
first head needs stay where they are; those that the second needs besides go into the `else` branch of an `If`, and so
on, one inside the other:

    z1 = ...;  leaves = max softmax(z1) >= threshold
    logits = If(all leave)  then: z1
                            else: z2 = ...;  Where(leaves, z1, If(all leave) then: z2 else: ...)

So every image gets the answer that the live network gives it, in a batch of any size; work is saved when the whole
batch leaves, and therefore most with one image at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.adapters.exit_thresholds import NEVER, confidence, left_at
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge, inner
from limbeck.core.errors import ExportError
from limbeck.evaluate.timing import time_calls, time_in_turns

_MARGIN = 1e-5


def exits_of(network: nn.Module, samples: Float[Tensor, "n c h w"]) -> Exits | None:
    """The network with early exits that this is; None if it is another one.

    Raises:
        ExportError: a bridge around it changes the images or selects classes, and the exits would decide by others.
    """
    found = inner(network)
    if not (isinstance(found, Exits) and found.leaves_early):
        return None
    while isinstance(network, Bridge):
        same = network.channels in (None, samples.shape[1]) and network.size in (None, tuple(samples.shape[2:]))
        if network.normalises or network.columns is not None or not same:
            raise ExportError(
                "a network with early exits is exported for the images and classes that its exits were trained on; "
                "here they are resized, or some classes are selected"
            )
        network = network.network
    return found


class OpenHeads(nn.Module):
    """The logits of all heads that somebody can leave at, and of the end, as separate outputs."""

    def __init__(self, exits: Exits) -> None:
        super().__init__()
        self.exits = exits
        self.open = [number for number, value in enumerate(exits.thresholds.tolist()) if value < NEVER]

    @property
    def outputs(self) -> list[str]:
        """Their names."""
        return [*(f"exit{number + 1}" for number in self.open), "end"]

    @property
    def thresholds(self) -> list[float]:
        """Of the open heads."""
        return [float(self.exits.thresholds[number]) for number in self.open]

    def metadata(self) -> dict[str, str]:
        """What the file says about its exits."""
        taps = [self.exits.at[number] for number in self.open]
        return {"exits": json.dumps(taps), "exit_thresholds": json.dumps(self.thresholds)}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """One tensor [b c] per output."""
        logits = self.exits.logits_of_all(images)
        return (*(logits[number] for number in self.open), logits[-1])


def nested(model: Any, outputs: Sequence[str], thresholds: Sequence[float], *, output: str) -> Any:
    """Put everything that comes after an exit into the branch that runs when it is needed.

    Args:
        model: an `onnx.ModelProto` with the logits of every exit and of the end; it is changed.
        outputs: their names, shallow before deep.
        thresholds: of all outputs but the last.
        output: name of the one output that the result has.
    """
    from onnx import helper

    graph = model.graph
    wanted = next(value for value in graph.output if value.name == outputs[-1])
    segments = _segments(graph, outputs)
    constants = _constants(graph, segments)
    nodes, tensors, answer = segments[-1], constants[-1], outputs[-1]
    for number in reversed(range(len(thresholds))):
        deeper = _branch(number, nodes, tensors, answer, wanted, outputs[number])
        decision, made, answer = _decision(number, outputs[number], thresholds[number], deeper, wanted)
        nodes, tensors = [*segments[number], *decision], [*constants[number], *made]
    nodes = [*nodes, helper.make_node("Identity", [answer], [output])]
    result = [_typed(wanted, output)]
    for field, values in (("node", nodes), ("initializer", tensors), ("output", result), ("value_info", [])):
        kept = list(values)
        del getattr(graph, field)[:]
        getattr(graph, field).extend(kept)
    return model


def _segments(graph: Any, outputs: Sequence[str]) -> list[list[Any]]:
    """For each output the nodes that it needs and no earlier one does, in their order."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    owner: dict[int, int] = {}
    for number, output in enumerate(outputs):
        waiting = [output]
        while waiting:
            place = makers.get(waiting.pop())
            if place is not None and place not in owner:
                owner[place] = number
                waiting += _used(graph.node[place])
    return [
        [node for place, node in enumerate(graph.node) if owner.get(place) == number] for number in range(len(outputs))
    ]


def _constants(graph: Any, segments: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The initialisers, each beside the first nodes that use it, where the runtime can prepare them for these."""
    first: dict[str, int] = {}
    for number, nodes in enumerate(segments):
        for node in nodes:
            for name in _used(node):
                first.setdefault(name, number)
    return [
        [tensor for tensor in graph.initializer if first.get(tensor.name) == number] for number in range(len(segments))
    ]


def _used(node: Any) -> Iterator[str]:
    """The values that a node takes, those that a branch of it takes from outside among them."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for part in (attribute.g, *attribute.graphs):
            for inside in part.node:
                yield from _used(inside)


def _decision(number: int, logits: str, threshold: float, deeper: Any, wanted: Any) -> tuple[list[Any], list[Any], str]:
    """Nodes that leave at an exit or run the branch behind it, their constants, and the name of the answer."""
    from onnx import TensorProto, helper

    name = f"exit{number + 1}"
    axis = helper.make_tensor(f"{name}.axis", TensorProto.INT64, [1], [-1])
    limit = helper.make_tensor(f"{name}.threshold", TensorProto.FLOAT, [], [threshold])
    here = helper.make_graph(
        [helper.make_node("Identity", [logits], [f"{name}.own"])], f"{name}.then", [], [_typed(wanted, f"{name}.own")]
    )
    nodes = [
        helper.make_node("Softmax", [logits], [f"{name}.distribution"], axis=-1),
        helper.make_node("ReduceMax", [f"{name}.distribution", axis.name], [f"{name}.confidence"], keepdims=1),
        helper.make_node("GreaterOrEqual", [f"{name}.confidence", limit.name], [f"{name}.leaves"]),
        helper.make_node("Cast", [f"{name}.leaves"], [f"{name}.count"], to=TensorProto.INT32),
        helper.make_node("ReduceMin", [f"{name}.count"], [f"{name}.least"], keepdims=0),
        helper.make_node("Cast", [f"{name}.least"], [f"{name}.all"], to=TensorProto.BOOL),
        helper.make_node("If", [f"{name}.all"], [f"{name}.answer"], then_branch=here, else_branch=deeper),
    ]
    return nodes, [axis, limit], f"{name}.answer"


def _branch(number: int, nodes: Sequence[Any], constants: Sequence[Any], answer: str, wanted: Any, logits: str) -> Any:
    """What runs behind an exit; images that left keep the answer from there."""
    from onnx import helper

    name = f"exit{number + 1}"
    chosen = helper.make_node("Where", [f"{name}.leaves", logits, answer], [f"{name}.deeper"])
    outputs = [_typed(wanted, f"{name}.deeper")]
    return helper.make_graph([*nodes, chosen], f"{name}.else", [], outputs, initializer=list(constants))


def _typed(like: Any, name: str) -> Any:
    """The declaration of a value of another's type."""
    from onnx import ValueInfoProto

    value = ValueInfoProto()
    value.CopyFrom(like)
    value.name = name
    return value


def decided(exits: Exits, samples: Float[Tensor, "n c h w"]) -> Float[Tensor, "k c h w"]:
    """The samples of which rounding does not decide where they leave, and which can therefore verify a file.

    Raises:
        ExportError: there is none.
    """
    logits = torch.stack(exits.logits_of_all(samples), dim=1)
    clear = ((confidence(logits[:, :-1]) - exits.thresholds).abs() > _MARGIN).all(1)
    if not clear.any():
        raise ExportError(
            "every sample is as sure as a threshold asks for, to rounding; give others to verify the file"
        )
    return samples[clear]


def exit_speeds(
    exits: Exits, run: Callable[[Any], object], samples: Float[Tensor, "n c h w"]
) -> list[dict[str, float | str]]:
    """The median time of one image in the exported file, for each exit at which some of the samples leave.

    Args:
        exits: the live network.
        run: the exported one, on a NumPy array.
        samples: pixels in [0, 1].

    Returns:
        Rows with `exit`, `share` of the samples, `median_ms`, and `live_median_ms` of the live network, in turns.
    """
    logits = torch.stack(exits.logits_of_all(samples), dim=1)
    left = left_at(confidence(logits[:, :-1]), exits.thresholds.tolist())
    rows: list[dict[str, float | str]] = []
    for number, name in enumerate((*exits.at, "end")):
        here = samples[left == number]
        if len(here):
            share = len(here) / len(samples)
            rows.append({"exit": name, "share": share, **_in_turns(exits, run, here)})
    return rows


def mean_speed(
    rows: Sequence[Mapping[str, Any]], exits: Exits, run: Callable[[Any], object], samples: Float[Tensor, "n c h w"]
) -> dict[str, float]:
    """The time of a mean image: the medians of the exits by the shares of the samples that leave there.

    Args:
        rows: of `exit_speeds`.
        exits: as there.
        run: as there.
        samples: as there.

    Returns:
        `median_ms`, `live_median_ms`, and `p95_ms` over the samples as they come.
    """
    mean = {key: sum(row["share"] * row[key] for row in rows) for key in ("median_ms", "live_median_ms")}
    images = cycle([image[None].numpy() for image in samples])
    return {**mean, "p95_ms": time_calls(partial(_next, run, images), at_most_seconds=1.0).p95_ms}


def _in_turns(exits: Exits, run: Callable[[Any], object], samples: Tensor) -> dict[str, float]:
    images = samples.split(1)
    calls = [partial(_next, run, cycle([image.numpy() for image in images])), partial(_next, exits, cycle(images))]
    file, live = time_in_turns(calls, at_most_seconds=2.0)
    return {"median_ms": file.median_ms, "live_median_ms": live.median_ms}


def _next(run: Callable[[Any], object], images: Iterator[Any]) -> object:
    return run(next(images))
