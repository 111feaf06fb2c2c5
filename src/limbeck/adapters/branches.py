"""A network with several copies of its tail on one trunk, which runs once.

The tail is everything that runs from a given module on. The first of its modules hands its input to all copies, and
what they give goes on as one batch, copy after copy; each later module with weights or buffers is a set of copies too,
each for its part of the batch, and what has neither (activations, pooling) runs once on the whole. So the network's own
code is used as it is, and any network can be split of which no later step needs a tensor, or the batch size, from
before the cut. Modules that also run before the cut, and parameters outside modules, are shared by all copies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from limbeck.core.assembled import Assembled
from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError, close
from limbeck.core.mode import evaluating
from limbeck.core.outline import outline


class Branches(nn.Module):
    """Copies of one module, each for its part of the batch.

    Args:
        module: the first copy; the others have initial weights of their own.
        count: of copies.
        first: whether the trunk ends here: each copy gets the whole input.
    """

    def __init__(self, module: nn.Module, count: int, *, first: bool) -> None:
        super().__init__()
        self.copies = nn.ModuleList([module, *(_fresh(module) for _ in range(count - 1))])
        self.first = first

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the copies give, one after the other along the batch."""
        count = len(self.copies)
        if self.first:
            given = [branch(*inputs, **options) for branch in self.copies]
        else:
            parts = [_part((inputs, options), number, count) for number in range(count)]
            given = [branch(*part[0], **part[1]) for branch, part in zip(self.copies, parts, strict=True)]
        return _pytree.tree_map(lambda *each: torch.cat(each) if isinstance(each[0], Tensor) else each[0], *given)


def _part(inputs: Any, number: int, count: int) -> Any:
    def taken(x: Any) -> Any:  # not `chunk`, which an exporter cannot follow at any batch size
        return x.unflatten(0, (count, -1))[number] if isinstance(x, Tensor) and x.ndim else x

    return _pytree.tree_map(taken, inputs)


def _fresh(module: nn.Module) -> nn.Module:
    """A copy whose weights are the same numbers in a random order, so drawn from the same distribution.

    Vectors (biases, normalisations) are copied as they are: they begin at constants.
    """
    made = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
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
    for path in tail:
        if path == at or _has_state(modules[path]):
            parent, _, name = path.rpartition(".")
            setattr(plain.get_submodule(parent), name, Branches(modules[path], count, first=path == at))
    with evaluating(made):
        _check(plain, lambda: run(made), alone, at=at, count=count)
    return made


def branch(network: nn.Module, number: int = 0) -> nn.Module:
    """One tail of a branched network as a plain network, with its original names."""
    made = copy.deepcopy(network)
    for path, module in list(made.named_modules()):
        if isinstance(module, Branches):
            parent, _, name = path.rpartition(".")
            setattr(made.get_submodule(parent), name, module.copies[number])
    return made


def last_stage(network: nn.Module, run: Callable[[nn.Module], Any]) -> str:
    """The module at which the last stage of a network begins.

    Raises:
        MethodError: its maps have one size only.
    """
    found = outline(network, run)
    if len(found.stages) < 2:
        raise MethodError("at: auto finds one stage only, and branches need a trunk; name the module where they begin")
    return found.units[found.units.index(found.stages[-2]) + 1].path


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


def _check(network: nn.Module, run: Callable[[], Any], alone: Any, *, at: str, count: int) -> None:
    """The first tail gives what the network gave alone; there are so many of them."""
    advice = "take the start of a stage, after which nothing from before is needed"
    try:
        several = run()
    except (RuntimeError, ValueError, IndexError) as error:
        raise MethodError(
            f"{type(network).__name__} cannot be split at {at!r}: a later step needs a tensor, or the batch size, from "
            f"before it ({' '.join(str(error).split())}); {advice}"
        ) from error
    except (AttributeError, TypeError) as error:
        raise MethodError(
            f"{type(network).__name__} cannot be split at {at!r}: its own code looks inside a module that would stand "
            f"there several times ({error}); {advice}"
        ) from error
    fits = isinstance(several, Tensor) and several.shape == (count * len(alone), *alone.shape[1:])
    if not fits or not torch.allclose(several[: len(alone)], alone, rtol=1e-3, atol=1e-4):
        came = f"shape {list(several.shape)}" if isinstance(several, Tensor) else f"a {type(several).__name__}"
        raise MethodError(
            f"{type(network).__name__} cannot be split at {at!r}: its {count} tails give {came} where the network "
            f"alone gives {list(alone.shape)}, or other values; {advice}"
        )
