"""Which channels of a network belong together.

A *group* is a set of channel axes that always have the same width. An ordinary convolution and a linear layer open a
new group; depthwise convolution, BatchNorm, activation and pooling stay in theirs; a sum of two tensors, or their
product, makes one group of two. Images and logits are groups whose width is fixed. A map that is flattened gives each
channel as many features as it has pixels, one channel after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from limbeck.adapters.widening.operations import MULTIPLIES, joins, keeps, like, tells
from limbeck.adapters.widening.tracing import LAYERS, module_of, name_of, refusal, traced

TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
"""What a layer may hold; of anything else it is not known which of its axes are channels."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights.

    Args:
        path: of the module.
        rows: group along the first axis of all of its tensors: the outputs.
        columns: group along the second axis of its weight: the inputs; absent of what treats each channel by itself
            (BatchNorm, depthwise convolutions, PReLU).
        each: entries that a channel of its input has along that axis: the pixels of a flattened map, else 1.
    """

    path: str
    rows: int
    columns: int | None
    each: int = 1

    def shape(self, sizes: Mapping[int, int]) -> tuple[int, int | None]:
        """The lengths of the first axis and of the second, where that is one of channels.

        Args:
            sizes: group -> number of channels.
        """
        rows = sizes[self.rows]
        return (rows * self.each, None) if self.columns is None else (rows, sizes[self.columns] * self.each)

    def axes(self, group: int) -> list[tuple[int, int]]:
        """The axes of a group's channels, each with the entries that a channel has along it."""
        found = [(0, self.each if self.columns is None else 1)] if self.rows == group else []
        return [*found, (1, self.each)] if self.columns == group else found


class Channels:
    """The groups of a network, by following its graph.

    Args:
        network: is only looked at.

    Raises:
        MethodError: names the first module whose channels cannot be followed.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.graph = traced(network)
        self._parent: list[int] = []
        self._size: list[int | None] = []
        self._fixed: set[int] = set()
        self._layers: dict[str, Layer] = {}
        self._of: dict[fx.Node, int | None] = {}
        self._owner: dict[int, str] = {}
        self.depthwise: set[str] = set()
        """The paths of depthwise convolutions."""
        self.sums: list[fx.Node] = []
        """Sums of two tensors with channels."""
        self.products: list[fx.Node] = []
        """Products of two tensors with channels."""
        for node in self.graph.nodes:
            self._of[node] = getattr(self, f"_{node.op}")(node)

    @property
    def layers(self) -> list[Layer]:
        """All layers with weights, in the order in which they run."""
        root = self._root
        return [
            replace(one, rows=root(one.rows), columns=None if one.columns is None else root(one.columns))
            for one in self._layers.values()
        ]

    def of(self, node: fx.Node) -> int | None:
        """The group of a node's channels; absent of what is no tensor with channels."""
        group = self._of[node]
        return None if group is None else self._root(group)

    def size(self, group: int) -> int | None:
        """The number of channels of a group; absent of images that no layer has looked at."""
        return self._size[self._root(group)]

    def fixed(self, group: int) -> bool:
        """Whether a group's width must stay as it is."""
        root = self._root(group)
        return any(self._root(one) == root for one in self._fixed)

    def _new(self, size: int | None) -> int:
        self._parent.append(len(self._parent))
        self._size.append(size)
        return len(self._parent) - 1

    def _root(self, group: int) -> int:
        while self._parent[group] != group:
            group = self._parent[group]
        return group

    def _join(self, node: fx.Node, groups: Iterable[int]) -> int:
        first, *rest = {self._root(group): None for group in groups}
        for other in rest:
            sizes = {size for size in (self._size[first], self._size[other]) if size is not None}
            if len(sizes) > 1:
                raise self._refused(node, f"it joins {' and '.join(map(str, sorted(sizes)))} channels")
            self._parent[other] = first
            self._size[first] = sizes.pop() if sizes else self._size[first]
        return first

    def _placeholder(self, node: fx.Node) -> int | None:
        if self._parent:
            return None  # an argument besides the images, at its default
        self._fixed.add(self._new(None))
        return 0

    def _get_attr(self, node: fx.Node) -> None:
        return None

    def _call_module(self, node: fx.Node) -> int | None:
        module, group = self._network.get_submodule(str(node.target)), self._input(node)
        if group is None:
            return None
        if any(True for child in module.children() for _ in child.parameters()):
            raise self._refused(node, "a layer with parameters in modules of its own cannot be sliced")
        if isinstance(module, LAYERS):
            self._check_tensors(node, module)
        if isinstance(module, _ConvNd):
            return self._convolution(node, module, group)
        if isinstance(module, nn.Linear):
            return self._opens(node, group, module.in_features, module.out_features)
        if isinstance(module, _BatchNorm):
            return self._alone(node, group, module.num_features)
        if isinstance(module, nn.PReLU) and module.num_parameters > 1:
            return self._alone(node, group, module.num_parameters)
        if not keeps(node, module):
            raise self._refused(node, "its channels cannot be followed")
        return group

    def _check_tensors(self, node: fx.Node, layer: nn.Module) -> None:
        """Tensors of a layer are cut by their names, and each belongs to one layer."""
        own = {**layer._parameters, **layer._buffers}
        for name, tensor in own.items():
            if tensor is None:
                continue
            if name not in TENSORS:
                raise self._refused(node, f"it has a tensor {name!r}; of a layer's tensors known: {', '.join(TENSORS)}")
            other = self._owner.setdefault(id(tensor), str(node.target))
            if self._network.get_submodule(other) is not layer:
                raise self._refused(node, f"it shares its {name} with {other!r}; copy it, or use one layer twice")

    def _convolution(self, node: fx.Node, conv: _ConvNd, group: int) -> int:
        if isinstance(conv, _ConvTransposeNd):
            raise self._refused(node, "transposed convolutions are not supported")
        if conv.groups == 1:
            return self._opens(node, group, conv.in_channels, conv.out_channels)
        if not conv.groups == conv.in_channels == conv.out_channels:
            raise self._refused(node, f"a convolution in {conv.groups} groups of several channels each")
        self.depthwise.add(str(node.target))
        return self._alone(node, group, conv.in_channels)

    def _opens(self, node: fx.Node, group: int, inputs: int, outputs: int) -> int:
        """A layer whose outputs are channels of their own."""
        known = self._layers.get(str(node.target))
        rows = self._new(outputs) if known is None else known.rows
        each = self._each(node, group, inputs)
        self._size[self._root(group)] = inputs // each
        return self._layer(node, Layer(str(node.target), rows, group, each), outputs)

    def _alone(self, node: fx.Node, group: int, features: int) -> int:
        """A layer that treats each channel by itself."""
        each = self._each(node, group, features)
        return self._layer(node, Layer(str(node.target), group, None, each), features // each)

    def _each(self, node: fx.Node, group: int, features: int) -> int:
        """Entries per channel among the features that a layer takes."""
        size = self.size(group)
        if size is None or features == size:
            return 1
        if features % size:
            raise self._refused(node, f"it takes {features} features, of {size} channels")
        return features // size

    def _layer(self, node: fx.Node, layer: Layer, size: int) -> int:
        rows, columns = layer.rows, layer.columns
        known = self._layers.setdefault(layer.path, layer)
        if known.each != layer.each:
            raise self._refused(node, f"it gets maps of {known.each} and of {layer.each} pixels, flattened")
        if columns is not None and known.columns is not None:
            self._join(node, (columns, known.columns))
        joined = self._join(node, (rows, known.rows))
        self._size[joined] = size
        return joined

    def _call_function(self, node: fx.Node) -> int | None:
        groups = [group for one in node.all_input_nodes if (group := self._of[one]) is not None]
        if not groups or tells(node):
            return None
        for one in node.all_input_nodes:
            if one.op == "get_attr" and not all(map(self.fixed, groups)) and not self._single(one):
                raise self._refused(node, f"it uses the tensor {one.target!r} directly, outside a layer")
        if joins(node) and len(groups) <= 2:
            if len(node.all_input_nodes) > 1 and len(groups) > 1:
                (self.products if joins(node) in MULTIPLIES else self.sums).append(node)
            return self._join(node, groups)
        alike = [group for one in like(node) if (group := self._of[one]) is not None]
        if not keeps(node) or not set(groups[1:]) <= set(alike):
            name = name_of(node)
            hint = (
                "; to flatten maps, write flatten(1), whose length is not fixed" if name in ("view", "reshape") else ""
            )
            raise self._refused(node, f"the channels cannot be followed through {name!r}{hint}")
        return self._join(node, (groups[0], *alike))

    _call_method = _call_function

    def _single(self, node: fx.Node) -> bool:
        """Whether an attribute is one number, which suits any width."""
        module, _, name = str(node.target).rpartition(".")
        return getattr(self._network.get_submodule(module), name).numel() == 1

    def _output(self, node: fx.Node) -> None:
        self._fixed.update(group for one in node.all_input_nodes if (group := self._of[one]) is not None)

    def _input(self, node: fx.Node) -> int | None:
        groups = [self._of[one] for one in node.all_input_nodes]
        if len(groups) != 1:
            raise self._refused(node, f"a layer with {len(groups)} inputs")
        return groups[0]

    def _refused(self, node: fx.Node, why: str) -> Any:
        return refusal(self._network, module_of(node), why)
