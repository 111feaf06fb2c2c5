"""What the width of each group of channels follows: a multiplier of its own, or another group.

    fixed       images and logits: never changes
    width       stem, block outputs, last convolution: round(width multiplier · base width)
    expand      inside a residual block or an inverted residual:
                round(expand multiplier · base width / base width of the block's input · active width of that input)
    reduction   inside squeeze-and-excite: round(base width / base width squeezed · active width squeezed)

What lies inside a block is found in two ways. (1) A sum closes a residual block that begins at the latest value from
which both of its terms come; whatever layer lies between is inside. (2) Inverted residuals without a shortcut: the
channels of a depthwise convolution that one convolution makes from channels that are not themselves inside a block, not
fewer than those and more than it is projected to. So the stem of a MobileNet, which is made from images, counts as
width, as in the authors' code, and so do the channels of depthwise separable convolutions, which are not expanded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from torch import fx, nn

from limbeck.adapters.widening.channels import Channels, Layer
from limbeck.adapters.widening.operations import keeps, pools
from limbeck.adapters.widening.tracing import refusal


class Follows(StrEnum):
    """What decides a group's width."""

    FIXED = "fixed"
    WIDTH = "width"
    EXPAND = "expand"
    REDUCTION = "reduction"


@dataclass(frozen=True)
class Group:
    """Channels that always have the same width.

    Args:
        size: the width in the network as given.
        follows: what decides the width in a wider one.
        reference: of an expand or reduction group, the group that it is a multiple of.
    """

    size: int
    follows: Follows
    reference: int | None = None


@dataclass(frozen=True)
class Plan:
    """How a network can be widened.

    Args:
        groups: number -> group.
        layers: with the numbers of their groups, in the order in which they run.
    """

    groups: dict[int, Group]
    layers: tuple[Layer, ...]

    def sizes(self, multipliers: dict[int, float]) -> dict[int, int]:
        """The width of each group.

        Args:
            multipliers: of the width and expand groups; absent = 1, the network as given.
        """
        found: dict[int, int] = {}

        def size(number: int) -> int:
            if number not in found:
                group, factor = self.groups[number], multipliers.get(number, 1.0)
                if group.reference is None:
                    found[number] = round(factor * group.size)
                else:
                    base = self.groups[group.reference].size
                    found[number] = round(factor * group.size * size(group.reference) / base)
            return found[number]

        return {number: size(number) for number in self.groups}

    def numbers(self, follows: Follows) -> list[int]:
        """The groups of one kind, in the order in which the network reaches them."""
        return [number for number, group in self.groups.items() if group.follows is follows]


def plan_of(network: nn.Module) -> Plan:
    """The groups of a network and what each follows.

    Raises:
        MethodError: its channels cannot be followed, or all of them are fixed.
    """
    channels = Channels(network)
    layers = channels.layers
    gates, reductions = _squeezes(network, channels)
    main = [layer for layer in layers if layer.columns is not None and layer.path not in gates]
    inside = _between(network, channels)
    references = {**_depthwise(channels, main, inside), **inside, **reductions}
    groups = {}
    for number in dict.fromkeys(g for one in layers for g in (one.columns, one.rows) if g is not None):
        size = channels.size(number) or 1
        if channels.fixed(number):
            groups[number] = Group(size, Follows.FIXED)
        elif number in references:
            kind = Follows.REDUCTION if number in reductions else Follows.EXPAND
            groups[number] = Group(size, kind, references[number])
        else:
            groups[number] = Group(size, Follows.WIDTH)
    if all(group.follows is Follows.FIXED for group in groups.values()):
        raise refusal(network, "", "it has no channels between images and logits")
    return Plan(groups, tuple(layers))


def _squeezes(network: nn.Module, channels: Channels) -> tuple[set[str], dict[int, int]]:
    """The layers of squeeze-and-excite, and the group between its two layers -> the group that it squeezes."""
    paths, found = set[str](), dict[int, int]()
    by_path = {layer.path: layer for layer in channels.layers}
    for product in channels.products:
        for factor in product.all_input_nodes:
            excite, _ = _origin(network, factor)
            squeeze, _ = _origin(network, excite.all_input_nodes[0]) if _opens(by_path, excite) else (excite, False)
            if squeeze is excite or not _opens(by_path, squeeze):
                continue
            _, pooled = _origin(network, squeeze.all_input_nodes[0])
            between, whole = channels.of(squeeze), channels.of(product)
            if pooled and between is not None and by_path[str(squeeze.target)].columns == whole and whole is not None:
                paths |= {str(squeeze.target), str(excite.target)}
                found[between] = whole
    return paths, found


def _opens(by_path: dict[str, Layer], node: fx.Node) -> bool:
    return node.op == "call_module" and str(node.target) in by_path and by_path[str(node.target)].columns is not None


def _origin(network: nn.Module, node: fx.Node) -> tuple[fx.Node, bool]:
    """Back through what keeps channels apart: where they come from, and whether an image's mean is on the way."""
    pooled = False
    while node.op in ("call_module", "call_function", "call_method"):
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not keeps(node, module):
            break
        pooled = pooled or pools(node, module)
        node = node.all_input_nodes[0]
    return node, pooled


def _between(network: nn.Module, channels: Channels) -> dict[int, int]:
    """Groups between the beginning of a residual block and its sum -> the group at its beginning."""
    nodes = list(channels.graph.nodes)
    ancestors: dict[fx.Node, int] = {}  # as bits, the node itself among them
    for number, node in enumerate(nodes):
        ancestors[node] = 1 << number
        for source in node.all_input_nodes:
            ancestors[node] |= ancestors[source]
    outer = {channels.of(node) for node in channels.sums}
    found: dict[int, int] = {}
    for closing in channels.sums:
        first, second = (ancestors[term] for term in closing.all_input_nodes[:2])
        begins = (first & second).bit_length() - 1
        start = channels.of(nodes[begins])
        for place in range(begins + 1, nodes.index(closing)):
            group = channels.of(nodes[place])
            between = ancestors[nodes[place]] >> begins & 1 and ancestors[closing] >> place & 1
            if between and start is not None and group is not None and group not in (start, *outer):
                found.setdefault(group, start)
    return {group: start for group, start in found.items() if not channels.fixed(group)}


def _depthwise(channels: Channels, main: Sequence[Layer], known: dict[int, int]) -> dict[int, int]:
    """Groups inside inverted residuals without a shortcut -> the group of the block's input."""
    outer = {channels.of(node) for node in channels.sums}
    deep = {layer.rows for layer in channels.layers if layer.path in channels.depthwise}
    found: dict[int, int] = {}
    for layer in main:
        group, source = layer.rows, layer.columns
        if source is None or channels.fixed(source) or source in known or source in found:
            continue
        alone = [one.path for one in main if one.rows == group] == [layer.path]
        given = [one.rows for one in main if one.columns == group]
        size = channels.size(group) or 1
        if size < (channels.size(source) or 1) or size <= max((channels.size(rows) or 1 for rows in given), default=0):
            continue
        if alone and group in deep and group not in outer and not channels.fixed(group):
            found[group] = source
    return found
