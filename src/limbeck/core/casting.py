"""Whether a method's roles can be filled with the networks that were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from limbeck.core.assembled import leaves_early
from limbeck.core.errors import MethodError, close
from limbeck.core.method import Method
from limbeck.core.net import Kind
from limbeck.core.task import Task


class Given(dict[str, nn.Module]):
    """Role -> network as it was given; a method that looks for another role is answered with what is missing."""

    def __init__(self, method: Method, models: Mapping[str, nn.Module]) -> None:
        super().__init__(models)
        self._method = type(method).__name__

    def __missing__(self, role: str) -> nn.Module:
        raise MethodError(f"{self._method} needs a network for the role {role!r}; given: {', '.join(self) or 'none'}")


def check_capabilities(method: Method, task: Task) -> None:
    """Refuse a task that cannot do what the method asks of it."""
    for capability in method.capabilities():
        if not isinstance(task, capability):
            raise MethodError(
                f"{type(method).__name__} needs a task with {capability.__name__}; "
                f"{type(task).__name__} has no such capability"
            )


def check_given(method: Method, models: Mapping[str, nn.Module]) -> None:
    """Refuse a network for a role whose network the method makes itself."""
    for role in models:
        if role in method.made():
            raise MethodError(f"{type(method).__name__} makes the network of the role {role!r} itself; leave it out")


def check_roles(method: Method, roles: Mapping[str, Kind], networks: Mapping[str, nn.Module]) -> None:
    """Refuse roles without a network, and networks without a role."""
    made = Given(method, networks)
    for role in roles:
        made[role]
    for role in networks:
        if role not in roles:
            raise MethodError(f"{type(method).__name__} has no role {role!r}; {close(role, roles)}")


def check_apart(roles: Mapping[str, Kind], networks: Mapping[str, nn.Module]) -> None:
    """Refuse a teacher that shares weights with what is trained: it would follow its student."""
    trained = {id(p): role for role, kind in roles.items() if kind is Kind.TRAINED for p in networks[role].parameters()}
    for role, kind in roles.items():
        shared = [trained[id(p)] for p in networks[role].parameters() if id(p) in trained]
        if kind is not Kind.TRAINED and shared:
            raise MethodError(
                f"the networks of {role!r} ({kind}) and {shared[0]!r} (trained) share parameters; "
                f"give {role!r} a copy of its own: copy.deepcopy(network)"
            )


def check_early(method: Method, networks: Mapping[str, nn.Module], taps: Mapping[str, Sequence[str]]) -> None:
    """Refuse to train or tap a network that samples leave early: its later layers do not see whole batches."""
    trained = {path.partition(".")[0] for stage in method.plan() for turn in stage.turns for path in turn.rates}
    for role, network in networks.items():
        if not leaves_early(network):
            continue
        for wrong, what in ((role in trained, "be trained"), (taps.get(role), "be tapped")):
            if wrong:
                raise MethodError(
                    f"the network of {role!r} has early exits: samples leave it, and its later layers do not see "
                    f"them, so it cannot {what}; take the network from before its exits were made "
                    "(delivers: network)"
                )
