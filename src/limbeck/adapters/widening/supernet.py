"""A network widened: two views of the same wide weights, and the network as it was given out of them.

The views are copies of the given network in which each layer with weights is a `Sliced` one. Modules keep their names,
so a tap on the given network is a tap on either view. The *student's* widths stay those of the given network; the
*wide* view's are drawn anew for each step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from limbeck.adapters.widening.kinds import Follows, Plan, plan_of
from limbeck.adapters.widening.layers import Active, Sliced, wider
from limbeck.adapters.widening.tracing import refusal
from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError


class View(Active):
    """What the layers of one view share.

    Args:
        plan: the groups of channels.
        template: the network as it was given.
    """

    def __init__(self, plan: Plan, template: nn.Module) -> None:
        super().__init__(plan.sizes({}))
        self.plan = plan
        self.template = template

    def draw(self, rng: Random, *, widths: Sequence[float], expands: Sequence[float]) -> None:
        """Choose the width of each group anew, uniformly and independently.

        Args:
            rng: gives the same numbers in all processes.
            widths: multipliers of the width groups.
            expands: multipliers of the expand groups.
        """
        multipliers = {number: rng.choice(widths) for number in self.plan.numbers(Follows.WIDTH)}
        multipliers |= {number: rng.choice(expands) for number in self.plan.numbers(Follows.EXPAND)}
        self.sizes = self.plan.sizes(multipliers)

    def stretch(self, *, widths: Sequence[float], expands: Sequence[float]) -> None:
        """Make each group as wide as `draw` may.

        Args:
            widths: multipliers of the width groups.
            expands: multipliers of the expand groups.
        """
        self.sizes = _largest(self.plan, widths, expands)

    def sliced(self, model: nn.Module) -> list[Sliced]:
        """The layers of this view in a model, each once."""
        return [module for module in model.modules() if isinstance(module, Sliced)]


def widen(model: nn.Module, *, widths: Sequence[float], expands: Sequence[float]) -> tuple[nn.Module, nn.Module]:
    """Two views of a wider network: one that equals the given network, and one whose widths can be drawn.

    Args:
        model: a network, perhaps in a `Bridge`; it is left as it is.
        widths: multipliers of the width groups that will be drawn, 1 or more.
        expands: multipliers of the expand groups, 1 or more.

    Raises:
        MethodError: names the first module whose channels cannot be followed.
    """
    plan = plan_of(inner(model))
    largest = _largest(plan, widths, expands)
    student, view = copy.deepcopy(model), View(plan, copy.deepcopy(model))
    # What lies outside of the layers, such as a learned factor, is the same at every width.
    shared: dict[int, object] = {id(parameter): parameter for parameter in student.parameters()}
    for one in plan.layers:
        given = inner(student).get_submodule(one.path)
        layer = wider(given, *one.shape(largest))
        shared[id(layer)] = layer
        _replace(inner(student), given, Sliced(layer, view, one))
    # What is found in the memo of a deep copy is not copied: the copy shares it.
    wide = copy.deepcopy(student, {**shared, id(view): View(plan, view.template)})
    return student, wide


def _largest(plan: Plan, widths: Sequence[float], expands: Sequence[float]) -> dict[int, int]:
    most = dict.fromkeys(plan.numbers(Follows.WIDTH), max(widths))
    return plan.sizes(most | dict.fromkeys(plan.numbers(Follows.EXPAND), max(expands)))


@torch.no_grad()
def try_stretched(wide: nn.Module, run: Callable[[nn.Module], object]) -> None:
    """Run a copy of a view on an example: as the network was given, and stretched, in eval and in train mode.

    A graph tells neither what a network does in training, nor whether it reaches its layers by the names under which
    they were replaced, nor whether it asks what kind of layers they are.

    Args:
        wide: a view; is left as it is.
        run: runs a network on an example.

    Raises:
        MethodError: a layer is not reached, does not get the channels that it takes, or is used otherwise than before.
    """
    trial = copy.deepcopy(wide)
    view, reached = view_of(trial), set[nn.Module]()
    given = inner(view.template)
    expected = run(copy.deepcopy(view.template).eval())  # what fails here has nothing to do with widths
    stretched, view.sizes = view.sizes, view.plan.sizes({})
    with _explained(given, "as it was given"):
        answer = run(trial.eval())
    if not _alike(expected, answer):
        why = "it answers otherwise when its layers are replaced; does it ask for their class (isinstance)?"
        raise refusal(given, "", why)
    view.sizes = stretched
    layers = {path: module for path, module in inner(trial).named_modules() if isinstance(module, Sliced)}
    for layer in layers.values():
        layer.register_forward_pre_hook(lambda module, _: reached.add(module))
    for mode in ("eval", "train"):
        with _explained(given, f"with wider layers, in {mode} mode,"):
            run(trial.train(mode == "train"))
        for path, layer in layers.items():
            if layer not in reached:
                why = "forward does not reach it as an attribute of its module, but as through a list or a closure"
                raise refusal(given, path, why)


@contextmanager
def _explained(given: nn.Module, when: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:  # for tensors that do not fit
        raise refusal(given, "", f"{when} it raises: {' '.join(str(error).split())}") from error


def _alike(expected: object, answer: object) -> bool:
    """Whether two outputs are equal, to rounding; of the same network, so they have the same form."""
    pairs = zip(*(pytree.tree_leaves(one) for one in (expected, answer)), strict=True)
    tensors = [(one, other) for one, other in pairs if isinstance(one, Tensor)]
    return all(torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max())) for one, other in tensors)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in the place of another, under all of its names."""
    for path, module in list(network.named_modules(remove_duplicate=False)):
        if module is old:
            parent, _, name = path.rpartition(".")
            setattr(network.get_submodule(parent), name, new)


def view_of(model: nn.Module) -> View:
    """The view that a widened network is.

    Raises:
        MethodError: it is none.
    """
    for module in model.modules():
        if isinstance(module, Sliced) and isinstance(module.active, View):
            return module.active
    raise MethodError(f"{type(inner(model)).__name__} is no view of a widened network; make one with widen()")


def plain(model: nn.Module) -> nn.Module:
    """A network like the one that was given, with the weights that it has inside the wide one.

    Args:
        model: a view.

    Raises:
        MethodError: it is none.
    """
    view = view_of(model)
    base, own = view.plan.sizes({}), model.state_dict()
    cuts = {
        f"{path}.{name}": tensor
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Sliced)
        for name, tensor in module.tensors(base).items()
    }
    made = copy.deepcopy(view.template)
    like = next(model.parameters())
    made.to(like.device, like.dtype)
    with torch.no_grad():
        state = made.state_dict()  # with the versions of its layers, which some networks look at
        state.update({name: cuts[name] if name in cuts else own[name] for name in state})
        made.load_state_dict(state)
    return made
