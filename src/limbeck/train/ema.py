"""An exponential moving average of the trained networks and of what is trained beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from limbeck.core.distiller import Distiller
from limbeck.core.net import Kind
from limbeck.train.reordering import Reordered


class Ema:
    """The average of parameters and floating-point buffers; other buffers are copied.

    Args:
        distiller: whose TRAINED networks and adapters are averaged: a method may deliver heads together with a network.
        decay: share of the old average that each step keeps.
    """

    def __init__(self, distiller: Distiller, decay: float) -> None:
        parts: dict[str, nn.Module] = {r: distiller[r] for r in distiller.nets if distiller[r].kind is Kind.TRAINED}
        parts["adapters"] = distiller.adapters
        named = {f"{part}.{n}": one for part, mod in parts.items() for n, one in mod.state_dict(keep_vars=True).items()}
        # Roles may share tensors; each is averaged once, under its first name.
        once = {id(tensor): name for name, tensor in reversed(named.items())}
        self._live = {name: named[name].detach() for name in reversed(once.values())}
        self._decay = decay
        # a module may put another tensor in a buffer's place, so buffers are looked up each time
        self._buffers = {
            f"{part}.{path}.{name}".replace("..", "."): (module, name)
            for part, whole in parts.items()
            for path, module in whole.named_modules()
            for name in module._buffers
        }
        self._buffers = {name: place for name, place in self._buffers.items() if name in self._live}
        self.state = {name: tensor.clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take one step of the average."""
        self._look_up()
        floats = [name for name, tensor in self._live.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in floats], [self._live[n] for n in floats], 1 - self._decay)
        for name in self._live.keys() - set(floats):
            self.state[name].copy_(self._live[name])

    def _look_up(self) -> None:
        for name, (module, local) in self._buffers.items():
            buffer = module._buffers[local]
            if buffer is not None:
                self._live[name] = buffer.detach()

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copy a checkpoint's average into place; what it has none of begins at the weights that the distiller has."""
        self._look_up()
        for name, tensor in self.state.items():
            tensor.copy_(state.get(name, self._live[name]))

    @torch.no_grad()
    def reorder(self, reordered: Iterable[Reordered]) -> None:
        """Let the average follow tensors whose entries were put in another order."""
        for tensor, axis, order in reordered:
            for name, live in self._live.items():
                if live.data_ptr() == tensor.data_ptr() and live.shape == tensor.shape:
                    self.state[name].copy_(self.state[name].index_select(axis, order))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The networks hold the average inside, their own weights again outside."""
        self._look_up()
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        self._copy(self.state)
        try:
            yield
        finally:
            self._copy(own)

    def keep(self) -> None:
        """Leave the average in the networks for good: training is over."""
        self._look_up()
        self._copy(self.state)

    @torch.no_grad()
    def _copy(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self._live.items():
            tensor.copy_(state[name])
