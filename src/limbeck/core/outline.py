"""The outline of a network: which of its modules give feature maps or tokens, and where its stages end.

One example pass with a hook on every module tells the order of the modules and the shapes they give. The network is
then cut into *units*, from the root downwards: a module is one unit, unless

    it gives no single map [b c h w] or sequence of tokens [b n d] (a whole network, an encoder that gives a record),
    it makes maps more than twice smaller (several stages in one container, such as `features`), or
    it is a sequence of modules on tokens (the blocks of a transformer),

in which case the modules that it calls take its place. So a residual stage is one unit, and so is each block of a
transformer. Left out are features that a later module changes in place, which cannot be tapped, and those without one
row per sample, such as the windows of a Swin transformer. A *stage* ends at the last unit of one map size; a network
whose units all have one size, such as a transformer, has no stages, and is cut at equal depths instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.bridge import inner

_TOO_WIDE = 4


@dataclass(frozen=True)
class Unit:
    """A module whose output can be tapped.

    Args:
        path: as in `named_modules()`.
        kind: name of the module's class.
        shape: of its output on the example, [b c h w] or [b n d].
        size: height and width of the map; for tokens the square grid that they form, class tokens left out.
        layers: how many layers it has, itself or inside: weights of two axes and more.
        learns: whether the module has parameters.
        activates: whether the module is an activation, such as a ReLU.
        tensor: number of the tensor; a container that passes on what its last module gave has that module's.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    size: tuple[int, int]
    layers: int
    learns: bool
    activates: bool
    tensor: int

    @property
    def channels(self) -> int:
        """Of the map, or the width of a token."""
        return self.shape[1] if len(self.shape) == 4 else self.shape[2]


@dataclass(frozen=True)
class Outline:
    """The units of a network, and what lies inside of them.

    Args:
        units: in the order in which they run; empty if no module gives features.
        inside: path of a unit -> the modules below it that give features, in the order in which they begin.
        side: height of the image that the network was given; absent if it was given something else.
    """

    units: list[Unit]
    inside: Mapping[str, list[Unit]]
    side: int | None

    @property
    def stages(self) -> list[Unit]:
        """The last unit of each map size, largest map first.

        A 1×1 map is the pooled vector and no stage, and neither are maps that grow again, as those of a decoder do.
        """
        last: dict[int, Unit] = {}
        for unit in self.units:
            if unit.size != (1, 1) and unit.size[0] <= min(last, default=unit.size[0]):
                last[unit.size[0]] = unit
        return list(last.values())

    def layers(self, stage: Unit) -> int:
        """How many layers gave the maps of a stage: none if it is a mere pooling, one if it is a stem."""
        before = self.units[: self.units.index(stage) + 1]
        return sum(unit.layers for unit in before if unit.size == stage.size)

    def stride(self, unit: Unit) -> float:
        """How many times smaller than the image, or else than the largest map, a unit's map is."""
        return (self.side or self.stages[0].size[0]) / unit.size[0]

    def first_layer(self, stage: Unit) -> Unit | None:
        """The first layer of a stage: the first activation that gives maps of its size, or else the first module.

        It is looked for among the modules of the unit at which the stage ends, or, if there is no activation but the
        last, in the units of its size before that; absent if the stage is a single module.
        """
        before = [part for unit in self.units[: self.units.index(stage)] for part in (*self.inside[unit.path], unit)]
        sides = (self.inside[stage.path], before)
        inside, before = ([u for u in side if u.size == stage.size and u.tensor != stage.tensor] for side in sides)
        candidates = [*(unit for unit in inside + before if unit.activates), *inside, *before]
        return candidates[0] if candidates else None


def outline(model: nn.Module, run: Callable[[nn.Module], Any]) -> Outline:
    """The outline of a network.

    Args:
        model: a network; its modes and buffers are left as they are.
        run: runs it on the example.
    """
    network = inner(model)
    calls = _Calls(network)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), calls.watched():
            run(model)
        calls.forget_overwritten()
    finally:
        for module, mode in modes:
            module.training = mode
    units = [unit for path in calls.below("") for unit in calls.units(path)]
    return Outline(units, {unit.path: calls.inside(unit.path) for unit in units}, calls.side)


def grid_of(tokens: int) -> tuple[int, int] | None:
    """The square grid that so many tokens form after at most two class tokens; absent if there is none.

    >>> grid_of(197), grid_of(64), grid_of(198), grid_of(50)
    ((14, 14), (8, 8), (14, 14), (7, 7))
    """
    for extra in range(3):
        side = int(max(tokens - extra, 0) ** 0.5)
        if side and side * side == tokens - extra:
            return side, side
    return None


def channels_last(shape: tuple[int, ...], *, square: bool = False) -> bool:
    """Whether features are not [b c h w] but [b h w c], as those of Swin transformers.

    Such features, read as a map, would have as many channels as rows, and another number of columns. Of a square image
    no map has that; where the image is not known, they are taken for such if they would be four times as wide as high.

    Args:
        shape: of the features.
        square: whether the image is known to be square.
    """
    if len(shape) != 4 or shape[1] != shape[2]:
        return False
    return shape[3] != shape[2] if square else shape[3] >= _TOO_WIDE * shape[2]


class _Calls:
    """What an example pass called: the tree of calls, and the maps that came in and went out."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._open: list[str] = []
        self._children: dict[str, list[str]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}  # of the first map that came in
        self._given: dict[str, Unit] = {}
        self._tensors: dict[str, Tensor] = {}  # kept until the pass is over: only then is known what was overwritten
        self._versions: dict[str, int] = {}
        self._numbers = count()
        self._rows: int | None = None  # samples that the network was given

    def watched(self) -> ExitStack:
        """A context in which the calls are recorded."""
        stack = ExitStack()
        for path, module in self._network.named_modules():
            before = module.register_forward_pre_hook(lambda _m, inputs, path=path: self._enter(path, inputs))
            after = module.register_forward_hook(lambda _m, _i, output, path=path: self._leave(path, output))
            stack.callback(before.remove)
            stack.callback(after.remove)
        return stack

    def _enter(self, path: str, inputs: Any) -> None:
        calls = self._children.setdefault(self._open[-1], []) if self._open else []
        if path not in calls:
            calls.append(path)
        given = next((item for item in inputs if isinstance(item, Tensor)), None)
        if not self._open and given is not None and given.ndim:
            self._rows = len(given)
        size = self._size(given)
        if size is not None:
            self._sizes[path] = size
        self._open.append(path)

    def _leave(self, path: str, output: Any) -> None:
        self._open.pop()
        size = self._size(output)
        if size is not None:
            module = self._network.get_submodule(path)
            children = [child for child in self.below(path) if child in self._given]
            passed_on = [self._given[child].tensor for child in children if self._tensors[child] is output]
            number = passed_on[0] if passed_on else next(self._numbers)
            self._tensors[path], self._versions[path] = output, output._version
            learns, kind = next(module.parameters(), None) is not None, type(module).__name__
            shape, activates = tuple(output.shape), not learns and _activates(module)
            layers = sum(parameter.ndim > 1 for parameter in module.parameters())
            self._given[path] = Unit(path, kind, shape, size, layers, learns, activates, number)

    def forget_overwritten(self) -> None:
        """The pass is over: leave out what a later module changed in place, and let go of the tensors."""
        for path, tensor in self._tensors.items():
            if tensor._version != self._versions[path]:
                del self._given[path]
        self._tensors = {}

    @property
    def side(self) -> int | None:
        """Height of what the whole network was given."""
        return self._sizes[""][0] if "" in self._sizes else None

    def below(self, path: str) -> list[str]:
        """The modules that a module called, in order."""
        return self._children.get(path, [])

    def units(self, path: str) -> list[Unit]:
        """The units that a module is cut into."""
        unit, children = self._given.get(path), self.below(path)
        if children and (unit is None or self._shrinks(path, unit) or self._is_sequence_on_tokens(path, unit)):
            return [part for child in children for part in self.units(child)]
        return [] if unit is None else [unit]

    def inside(self, path: str) -> list[Unit]:
        """The modules below one that gave features, in the order in which they were called."""
        found = []
        for child in self.below(path):
            found += [self._given[child]] if child in self._given else []
            found += self.inside(child)
        return found

    def _size(self, features: Any) -> tuple[int, int] | None:
        if not isinstance(features, Tensor) or not features.is_floating_point() or not features.ndim:
            return None
        if self._rows is not None and len(features) != self._rows:
            return None
        if features.ndim == 3:
            return grid_of(features.shape[1])
        if features.ndim != 4 or channels_last(tuple(features.shape), square=self._square):
            return None
        return int(features.shape[2]), int(features.shape[3])

    @property
    def _square(self) -> bool:
        height, width = self._sizes.get("", (0, 1))
        return height == width

    def _shrinks(self, path: str, unit: Unit) -> bool:
        return path in self._sizes and self._sizes[path][0] > 2 * unit.size[0]

    def _is_sequence_on_tokens(self, path: str, unit: Unit) -> bool:
        return len(unit.shape) == 3 and isinstance(self._network.get_submodule(path), nn.Sequential)


def _activates(module: nn.Module) -> bool:
    """Whether a module without parameters is one of torch's or timm's activations, or a maxout."""
    return "activation" in type(module).__module__ or type(module).__name__ == "Maxout"
