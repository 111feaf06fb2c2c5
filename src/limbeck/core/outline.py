"""The outline of a network: which of its modules give feature maps or tokens, and where its stages end.

One example pass with a hook on every module tells the order of the modules and the shapes they give. The network is
then cut into *units*, from the root downwards: a module is one unit, unless

    it gives no single map [b c h w] or sequence of tokens [b n d] (a whole network, an encoder that gives a record),
    it makes maps more than twice smaller (several stages in one container, such as `features`), or
    it is a sequence of modules on tokens, or holds one (the blocks of a transformer, an encoder),

in which case the modules that it calls take its place. So a residual stage is one unit, and so is each block of a
transformer. Left out are features that a later module changes in place, which cannot be tapped, those without one
row per sample, such as the windows of a Swin transformer, and all that is inside of a module which gives channels last,
as its blocks do: there only branches could be tapped, whose sum with the residual could not. A
*stage* ends at the last unit of one map size; a stem is none. A network whose units all have one size, such as a
transformer, has no stages, and is cut at equal depths instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.assembled import Several
from limbeck.core.bridge import inner

_TOO_WIDE = 4
_BEFORE_TOKENS = (0, 1, 2, 4, 5, 8, 9)
"""Tokens before those of the image: up to two for the class, or four or eight registers with or without one."""


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
        covered: how many layers lie in units, or give maps or tokens themselves.
        layered: how many there are, of those that give anything with places.
    """

    units: list[Unit]
    inside: Mapping[str, list[Unit]]
    side: int | None
    covered: int
    layered: int

    @property
    def is_partial(self) -> bool:
        """Whether most layers are in no unit, so that the units say little of the network."""
        return 2 * self.covered < self.layered

    @property
    def stages(self) -> list[Unit]:
        """The last unit of each map size, largest map first.

        A 1×1 map is the pooled vector and no stage, and neither are maps that grow again, as those of a decoder do, and
        a stem: single layers that shrink the image before stages of several layers.
        """
        last: dict[int, Unit] = {}
        for unit in self.units:
            if unit.size != (1, 1) and unit.size[0] <= min(last, default=unit.size[0]):
                last[unit.size[0]] = unit
        ends = list(last.values())
        several = max((self.layers(unit) for unit in ends), default=0) > 1
        while several and len(ends) > 1 and self.layers(ends[0]) == 1 and self.stride(ends[0]) > 1:
            del ends[0]
        return ends

    def layers(self, stage: Unit) -> int:
        """How many layers gave the maps of a stage: none if it is a mere pooling, one if it is a stem."""
        before = self.units[: self.units.index(stage) + 1]
        return sum(unit.layers for unit in before if unit.size == stage.size)

    def stride(self, unit: Unit) -> float:
        """How many times smaller than the image, or else than the largest map, a unit's map is."""
        return (self.side or max(one.size[0] for one in self.units)) / unit.size[0]

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
        model: a network; its modes and buffers are left as they are. Of several that answer as one the one that stands
            for them.
        run: runs it on the example.
    """
    network = inner(model)
    calls = _Calls(network)
    start = _start(network)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), calls.watched():
            run(model)
        calls.forget_overwritten()
    finally:
        for module, mode in modes:
            module.training = mode
    units = [unit for path in calls.below(start) for unit in calls.units(path)]
    inside = {unit.path: calls.inside(unit.path) for unit in units}
    layers = [path for path in calls.layers if _within(path, start)]
    covered = [path for path in layers if path in calls.maps or any(_within(path, unit.path) for unit in units)]
    return Outline(units, inside, calls.side, covered=len(covered), layered=len(layers))


def _start(network: nn.Module) -> str:
    """Where the network lies that stands for all: the path of one of several, or else the root."""
    if not isinstance(network, Several):
        return ""
    one = inner(network.representative())
    within = _start(one)
    path = next(path for path, module in network.named_modules() if module is one)
    return f"{path}.{within}" if within else path


def _within(path: str, unit: str) -> bool:
    return not unit or path == unit or path.startswith(f"{unit}.")


def grid_of(tokens: int, image: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """The square grid that so many tokens form after class and register tokens; absent if there is none.

    Args:
        tokens: how many, all together.
        image: height and width of the image, if it is known. Then the grid is absent too where it would be wrong: of
            an image that is not square, and where the image cannot be cut so evenly, but for another number of tokens
            before the grid.

    >>> grid_of(197), grid_of(64), grid_of(198), grid_of(50), grid_of(261)
    ((14, 14), (8, 8), (14, 14), (7, 7), (16, 16))
    >>> grid_of(64, (16, 64)), grid_of(9, (28, 28))
    (None, None)
    """
    counts = {before: tokens - before for before in _BEFORE_TOKENS if before < tokens}
    sides = {before: math.isqrt(n) for before, n in counts.items() if math.isqrt(n) ** 2 == n}
    usual = [side for before, side in sides.items() if before < 3 or before < counts[before]]
    if not usual or (image is not None and image[0] != image[1]):
        return None
    if image is not None and image[0] % usual[0] and any(image[0] % side == 0 for side in sides.values()):
        return None
    return usual[0], usual[0]


def channels_last(shape: tuple[int, ...], image: tuple[int, int] | None = None) -> bool:
    """Whether features are not [b c h w] but [b h w c], as those of Swin transformers.

    Such features, read as a map, would have another shape than the image has. Where the image is not known, they are
    taken for such if they have as many channels as rows and would be four times as wide as high.

    Args:
        shape: of the features.
        image: height and width of the image, if it is known.
    """
    if len(shape) != 4:
        return False
    if image is None:
        return shape[1] == shape[2] and shape[3] >= _TOO_WIDE * shape[2]
    return not _alike(shape[2:], image) and _alike(shape[1:3], image)


def _alike(size: tuple[int, ...], image: tuple[int, int]) -> bool:
    """Whether a map has the shape of the image: exactly if that is square, or else up to one place."""
    off = abs(size[0] * image[1] - size[1] * image[0])
    return off <= (0 if image[0] == image[1] else max(image))


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
        self.layers: list[str] = []
        """Modules with weights of their own that gave anything with places."""
        self.maps: set[str] = set()
        """Modules that gave a map or tokens, be it changed in place later or not."""
        self._last: set[str] = set()  # modules that gave features with channels last

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
        if path in calls:  # of several runs a tap takes the last
            calls.remove(path)
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
        weights = self._network.get_submodule(path).parameters(recurse=False)
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor) and first.ndim > 2 and any(one.ndim > 1 for one in weights):
            self.layers += [] if path in self.layers else [path]
        size = self._size(output)
        if isinstance(output, Tensor) and channels_last(tuple(output.shape), self._sizes.get("")):
            self._last.add(path)
        if size is not None:
            self.maps.add(path)
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
        if path in self._last:
            return []
        if children and (unit is None or self._shrinks(path, unit) or self._has_blocks(path, unit)):
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
        image = self._sizes.get("")
        if features.ndim == 3:
            return grid_of(features.shape[1], image)
        if features.ndim != 4 or channels_last(tuple(features.shape), image):
            return None
        return int(features.shape[2]), int(features.shape[3])

    def _shrinks(self, path: str, unit: Unit) -> bool:
        """Whether maps become more than twice smaller: than what came in or, if that was none, than any inside."""
        given = [self._sizes[path][0]] if path in self._sizes else [part.size[0] for part in self.inside(path)]
        return max(given, default=0) > 2 * unit.size[0]

    def _has_blocks(self, path: str, unit: Unit) -> bool:
        """Whether a module on tokens is a sequence of modules, or something in which a sequence of blocks lies."""
        if len(unit.shape) != 3:
            return False
        return isinstance(self._network.get_submodule(path), nn.Sequential) or self._holds_blocks(path)

    def _holds_blocks(self, path: str) -> bool:
        """Whether blocks of one class, several in one list or sequence, run somewhere below.

        A sequence of layers, such as the perceptron of a block, is none: its modules call no others.
        """
        blocks = [child for child in self.below(path) if child in self._given and self.below(child)]
        kinds = Counter((child.rpartition(".")[0], self._given[child].kind) for child in blocks)
        lists = (nn.Sequential, nn.ModuleList)
        held = (isinstance(self._network.get_submodule(where), lists) for (where, _), n in kinds.items() if n > 1)
        return any(held) or any(self._holds_blocks(child) for child in blocks)


def _activates(module: nn.Module) -> bool:
    """Whether a module without parameters is one of torch's or timm's activations, or a maxout."""
    return "activation" in type(module).__module__ or type(module).__name__ == "Maxout"
