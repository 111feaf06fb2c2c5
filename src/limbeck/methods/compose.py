"""Several methods at once: the sum of their terms, with one forward pass per network and one label term.

Each member keeps its own hyper-parameters, taps and adapters; its terms appear as `member/term`, its adapters as
`adapters.member.name`. Every network runs to its end, once. The members' own label terms are left out and one is added
with the weight `task_weight`. Members have one stage with one turn: a staged method cannot share its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from limbeck.core.errors import MethodError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.net import Kind
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.settings import settings


@settings
class Compose(Method):
    """The sum of several one-stage methods.

    Args:
        methods: the members, at least one.
        task_weight: weight of the label term; 0 = none.
    """

    methods: Annotated[tuple[Method, ...], Field(min_length=1)]
    task_weight: Annotated[float, Field(ge=0)] = 1.0

    def __post_init__(self) -> None:
        for name, method in self.members().items():
            if not method.composable:
                raise ValueError(f"{name} gives its network another kind of output; it cannot be composed with others")
            if not method.trains:
                raise ValueError(f"{name} trains nothing, so there is nothing to compose it with")
        own = [name for name, method in self.members().items() if _delivers(method)]
        if len(own) > 1:
            raise ValueError(f"{' and '.join(own)} each deliver a network of their own; one such member is possible")

    def members(self) -> dict[str, Method]:
        """Scope -> member. The scope is the file name of the member's method, numbered from the second on."""
        named: dict[str, Method] = {}
        for method in self.methods:
            base = type(method).__module__.rpartition(".")[2]
            if hasattr(nn.ModuleDict, base):
                raise MethodError(
                    f"compose: a member's method is in a file called {base}.py, and what belongs to it would be filed "
                    f"under {base!r}, a name that torch's ModuleDict has for itself; rename the file"
                )
            count = sum(1 for name in named if name == base or name.removeprefix(base).isdigit())
            named[base if not count else f"{base}{count + 1}"] = method
        return named

    def capabilities(self) -> tuple[type, ...]:
        """The union of the members' needs."""
        return tuple(dict.fromkeys(need for method in self.methods for need in method.capabilities()))

    def roles(self) -> Mapping[str, Kind]:
        """The union of the members' roles."""
        roles: dict[str, Kind] = {}
        for name, method in self.members().items():
            for role, kind in method.roles().items():
                if roles.setdefault(role, kind) != kind:
                    raise MethodError(f"compose: {name} wants the role {role!r} {kind}, another member {roles[role]}")
        return roles

    def alike(self) -> Mapping[str, str]:
        """The members' together."""
        return {role: other for method in self.methods for role, other in method.alike().items()}

    def made(self) -> Set[str]:
        """The union of what the members make."""
        return frozenset().union(*(method.made() for method in self.methods))

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """Each member, settled."""
        return replace(self, methods=tuple(method.settled(models, run) for method in self.methods))

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """Each member's changes, in order."""
        for method in self.methods:
            models = method.networks(models, run)
        return models

    def looks_at(self) -> Set[str]:
        """The members' together."""
        return frozenset().union(*(method.looks_at() for method in self.methods))

    def linear_at(self, role: str) -> float | None:
        """The one temperature of all members that have this role, if there is one."""
        found = {method.linear_at(role) for method in self.methods if role in method.roles()}
        return found.pop() if len(found) == 1 else None

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """The union of the members' taps."""
        taps: dict[str, list[str]] = {}
        for method in self.methods:
            for role, paths in method.tapped().items():
                taps.setdefault(role, []).extend(paths)
        return {role: tuple(dict.fromkeys(paths)) for role, paths in taps.items()}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """Each member's adapters in a scope of their own."""
        # A member without adapters has an empty scope, so that its plan's `adapters` names something.
        made = {name: dict(method.adapters(nets, shapes)) for name, method in self.members().items()}
        return {name: nn.ModuleDict(modules) for name, modules in made.items()}

    def plan(self) -> Sequence[Stage]:
        """One turn that trains what any member trains."""
        paths: dict[str, float] = {}
        for name, method in self.members().items():
            turns = [turn for stage in method.plan() for turn in stage.turns]
            if len(turns) != 1:
                raise MethodError(f"compose: {name} has {len(turns)} turns; only methods with one turn can be composed")
            for path, rate in turns[0].rates.items():
                head, _, rest = path.partition(".")
                scoped = ".".join(part for part in ("adapters", name, rest) if part) if head == "adapters" else path
                if paths.setdefault(scoped, rate) != rate:
                    raise MethodError(
                        f"compose: {name} trains {path!r} at the rate {rate}, another member at {paths[scoped]}"
                    )
        return (Stage(turns=(Turn("terms", paths),)),)

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """One label term, then each member's other terms."""
        terms = {}
        if self.task_weight:
            terms["task"] = self.task_weight * nets.task.supervised(nets["student"](batch), batch)
        for name, method, scoped in self._scoped(nets):
            turn = next(turn for stage in method.plan() for turn in stage.turns)
            own = getattr(method, turn.terms)(scoped, batch, replace(at, turn=turn))
            terms |= {f"{name}/{term}": value for term, value in own.items() if term != "task"}
        return terms

    def uses_unlabelled(self) -> bool:
        """Whether any member does."""
        return any(method.uses_unlabelled() for method in self.methods)

    def needs_labels(self) -> bool:
        """Whether every member does."""
        return all(method.needs_labels() for method in self.methods)

    def compilable(self) -> bool:
        """Whether every member is."""
        return all(method.compilable() for method in self.methods)

    def uses_validation(self) -> bool:
        """Whether any member does."""
        return any(method.uses_validation() for method in self.methods)

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """What the one member delivers that does not deliver the student as it is, if there is one."""
        for _, method, scoped in self._scoped(nets):
            if _delivers(method):
                return method.deliver(scoped, train, validation)
        return super().deliver(nets, train, validation)

    def after_step(self, nets: Nets, at: At) -> None:
        """Each member's own."""
        for _, method, scoped in self._scoped(nets):
            method.after_step(scoped, at)

    def _scoped(self, nets: Nets) -> Iterator[tuple[str, Method, Nets]]:
        for name, method in self.members().items():
            yield name, method, _Scope(nets, name)


def _delivers(method: Method) -> bool:
    """Whether a method delivers something else than the student as it is."""
    if isinstance(method, Compose):
        return any(_delivers(member) for member in method.methods)
    return type(method).deliver is not Method.deliver


@dataclass(frozen=True)
class _Scope:
    """The distiller as one member sees it: its own adapters only."""

    nets: Nets
    name: str

    @property
    def task(self) -> Any:
        return self.nets.task

    @property
    def adapters(self) -> Any:
        return self.nets.adapters[self.name]

    def __getitem__(self, role: str) -> Any:
        return _Whole(self.nets[role])

    def gather(self, tensor: Tensor) -> Tensor:
        return self.nets.gather(tensor)

    def observe(self, name: str, value: Tensor) -> None:
        self.nets.observe(f"{self.name}/{name}", value)

    def reorder(self, tensor: Tensor, axis: int, order: Tensor) -> None:
        self.nets.reorder(tensor, axis, order)


@dataclass(frozen=True)
class _Whole:
    """A network that always runs to its end: what one member stops at a tap, another may need in full."""

    net: Any  # a Net, or one that a surrounding compose has wrapped already

    def __call__(self, batch: Any, *, until: str | None = None) -> ForwardPass:
        return self.net(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net, name)
