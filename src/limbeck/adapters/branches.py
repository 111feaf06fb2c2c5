"""A network with several copies of its tail on one trunk, which runs once.

The tail is everything that runs from a given module on. The first of its modules hands its input to all copies, and
what they give goes on as one batch, copy after copy; each later module with weights or buffers is a set of copies too,
each for its part of the batch, and what has neither (activations, pooling) runs once on the whole. So the network's own
code is used as it is, and any network can be split of which no later step needs a tensor, or the batch size, from
before the cut. Modules that also run before the cut, and parameters outside modules, are shared by all copies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from limbeck.core.assembled import Assembled
from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError, close
from limbeck.core.mode import evaluating
from limbeck.core.outline import outline

_TRIED = 8
"""Modules at which a network is split on trial, to say where it can be."""


class Branches(nn.Module):
    """Copies of one module, each for its part of the batch.

    Args:
        copies: the module and others like it.
        first: whether the trunk ends here: each copy gets the whole input.
    """

    def __init__(self, copies: Sequence[nn.Module], *, first: bool) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.first = first
        self.rows: int | None = None
        """While the next pass is an example: rows of all copies together."""
        self.whole: frozenset[int] = frozenset()
        """Numbers of the inputs that each copy gets whole: without a row per sample, as embeddings of positions are."""

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the copies give, one after the other along the batch."""
        leaves, form = _pytree.tree_flatten((inputs, options))
        if self.rows is not None:
            self.whole = frozenset(place for place, x in enumerate(leaves) if self.first or not _divides(x, self.rows))
            self.rows = None
        given = []
        for number, one in enumerate(self.copies):
            own = [self._part(x, place, number) for place, x in enumerate(leaves)]
            args, kwargs = _pytree.tree_unflatten(own, form)
            given.append(one(*args, **kwargs))
        return _pytree.tree_map(lambda *each: torch.cat(each) if isinstance(each[0], Tensor) else each[0], *given)

    def _part(self, x: Any, place: int, number: int) -> Any:
        if not isinstance(x, Tensor):
            return x
        if place in self.whole:
            return x.clone()  # a copy that changes it in place leaves it to the others as it was
        part = x.unflatten(0, (len(self.copies), -1))[number]  # not `chunk`: no exporter follows it at any batch size
        return part.clone() if torch.is_grad_enabled() else part


def _divides(x: Any, rows: int) -> bool:
    return isinstance(x, Tensor) and x.ndim > 0 and x.shape[0] % rows == 0


def _fresh(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies whose weights are the same numbers in a random order, so drawn from the same distribution.

    Vectors (biases, normalisations) are copied as they are: they begin at constants. So is what is not trained. What
    modules share, their copies share.
    """
    memo: dict[int, Any] = {}
    made = {path: copy.deepcopy(module, memo) for path, module in modules.items()}
    with torch.no_grad():
        for parameter in dict.fromkeys(parameter for module in made.values() for parameter in module.parameters()):
            if parameter.ndim > 1 and parameter.requires_grad:
                order = torch.randperm(parameter.numel(), device=parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return made


def branched(network: nn.Module, run: Callable[[nn.Module], Any], *, at: str, count: int) -> nn.Module:
    """A copy of a network with several tails; its output holds theirs one after the other along the batch.

    Args:
        network: is left as it is. A `Bridge` around it stays around the copy.
        run: runs a network on an example of at least two samples, and gives its output.
        at: path of the module at which the tail begins.
        count: of tails; the first has the network's own weights.

    Raises:
        MethodError: there is no such module, it does not run, nothing from there on has weights, the network cannot be
            split there, or it is made of several already.
    """
    try:
        return _branched(network, run, at=at, count=count)
    except _NotThere as error:
        raise MethodError(f"{error}; {_elsewhere(network, run)}") from error


class _NotThere(MethodError):
    """A network cannot be split at this module; perhaps at another one."""


def _branched(network: nn.Module, run: Callable[[nn.Module], Any], *, at: str, count: int) -> nn.Module:
    made = copy.deepcopy(network)
    plain = inner(made)
    if any(isinstance(module, Assembled) for module in network.modules()):
        raise MethodError(f"{type(plain).__name__} is made of several networks already; branches need a plain one")
    modules = dict(plain.named_modules())
    if at not in modules or not at:
        names = [name for name in modules if name]
        raise MethodError(f"at {at!r} is not a module of {type(plain).__name__}; {close(at, names)}")
    with evaluating(network):
        alone = run(network)
    with evaluating(made):
        tail = _tail(plain, lambda: run(made), at)
    if not any(_has_state(modules[path]) for path in tail):
        raise MethodError(f"nothing from {at!r} on has weights, so all branches would be alike; begin them earlier")
    own = {path: modules[path] for path in tail if path == at or _has_state(modules[path])}
    others = [_fresh(own) for _ in range(count - 1)]
    for path, module in own.items():
        several = Branches([module, *(other[path] for other in others)], first=path == at)
        several.rows = count * len(alone)
        parent, _, name = path.rpartition(".")
        setattr(plain.get_submodule(parent), name, several)
    with evaluating(made):
        _check(made, run, alone, at=at, count=count)
    return made


def branch(network: nn.Module, number: int = 0) -> nn.Module:
    """One tail of a branched network as a plain network, with its original names."""
    made = copy.deepcopy(network, _of_passes(network))
    for path, module in list(made.named_modules()):
        if isinstance(module, Branches):
            parent, _, name = path.rpartition(".")
            setattr(made.get_submodule(parent), name, module.copies[number])
    return made


def _of_passes(network: nn.Module) -> dict[int, Any]:
    """What a deep copy shall take for tensors that a pass has left in modules, which torch refuses to copy."""
    values = (value for module in network.modules() for value in vars(module).values())
    kept = (x for value in values for x in _pytree.tree_leaves(value) if isinstance(x, Tensor) and not x.is_leaf)
    return {id(x): x.detach().clone() for x in kept}


def last_stage(network: nn.Module, run: Callable[[nn.Module], Any]) -> str:
    """The module at which the last stage of a network begins.

    Raises:
        MethodError: its maps have one size only.
    """
    found = outline(network, run)
    if len(found.stages) < 2:
        elsewhere = _elsewhere(network, run)
        raise MethodError(f"at: auto finds one stage only, and branches need a trunk before them; {elsewhere}")
    return found.units[found.units.index(found.stages[-2]) + 1].path


def _elsewhere(network: nn.Module, run: Callable[[nn.Module], Any]) -> str:
    """Advice: a module in the later part of a network where it can be split; a few are tried."""
    plain = inner(network)
    begun: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _m, _i, path=path: begun.append(path))
        for path, module in plain.named_modules()
        if path and _has_state(module)
    ]
    try:
        with evaluating(network):
            run(network)
    finally:
        for handle in handles:
            handle.remove()
    paths = list(dict.fromkeys(begun))[1:]  # before the first one there is no trunk
    nearest = sorted(paths, key=lambda path: abs(paths.index(path) - 2 * len(paths) // 3))
    for path in (*nearest[:_TRIED], *paths[-1:]):
        with suppress(Exception):  # whatever a place raises, it is not the one
            _branched(network, run, at=path, count=2)
            return f"it can be split at another place: set at: {path!r}"
    return "no place where it can be was found; `dml` trains whole networks together instead"


def _has_state(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


def _tail(network: nn.Module, run: Callable[[], Any], at: str) -> list[str]:
    """The largest modules that run only after the module at `at` has begun; that one is the first of them."""
    begun: dict[str, bool] = {}  # path -> whether all its calls began after the cut
    place = {"after": False}

    def enter(path: str) -> None:
        place["after"] = place["after"] or path == at
        begun[path] = begun.get(path, True) and place["after"]

    handles = [
        module.register_forward_pre_hook(lambda _m, _i, path=path: enter(path))
        for path, module in network.named_modules()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    if at not in begun:
        raise MethodError(f"at {at!r} is a module of {type(network).__name__}, but does not run")
    after = [path for path, late in begun.items() if late]
    return [path for path in after if not any(f"{path}.".startswith(f"{other}.") for other in after if other != path)]


def _check(made: nn.Module, run: Callable[[nn.Module], Any], alone: Any, *, at: str, count: int) -> None:
    """Each tail gives what it gives as a plain network, the first what the network gave alone."""
    name = type(inner(made)).__name__
    try:
        several = run(made)
    except (RuntimeError, ValueError, IndexError) as error:
        raise _NotThere(
            f"{name} cannot be split at {at!r}: a later step needs a tensor, or the batch size, from "
            f"before it ({' '.join(str(error).split())})"
        ) from error
    except (AttributeError, TypeError) as error:
        raise _NotThere(
            f"{name} cannot be split at {at!r}: its own code looks inside a module that would stand "
            f"there several times ({error})"
        ) from error
    fits = isinstance(several, Tensor) and several.shape == (count * len(alone), *alone.shape[1:])
    expected = [alone, *(run(branch(made, number)) for number in range(1, count))] if fits else []
    if not fits or not torch.allclose(several, torch.cat(expected), rtol=1e-3, atol=1e-4, equal_nan=True):
        came = f"shape {list(several.shape)}" if isinstance(several, Tensor) else f"a {type(several).__name__}"
        raise _NotThere(
            f"{name} cannot be split at {at!r}: its {count} tails give {came} where the network "
            f"alone gives {list(alone.shape)}, or other values"
        )
