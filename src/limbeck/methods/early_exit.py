"""Another target for a network with exits that is there already: thresholds are chosen again, nothing is trained.

    models: {student: {from: byot.yaml}}
    method: {name: early_exit, cost: 0.6}

The network is what `byot` delivers with its heads, as `early_exit` or as `ensemble`. A sample leaves at the first head
whose largest probability reaches the head's threshold: Zhang et al., "Be Your Own Teacher", arXiv:1905.08094, from
BranchyNet (Teerapittayanon et al., arXiv:1709.01686). Thresholds are chosen on the validation split, which should be
that of the network's own training: on other images it may know the answers by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import Field
from torch import nn

from limbeck.adapters.exit_check import check_exits
from limbeck.adapters.exit_choice import check_reachable, open_exits
from limbeck.adapters.exit_head import ExitHead
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError
from limbeck.core.method import Method, Nets
from limbeck.core.mode import evaluating
from limbeck.core.net import Kind
from limbeck.core.plan import Stage
from limbeck.core.settings import settings
from limbeck.core.task import HasRows


@settings
class EarlyExit(Method):
    """The given network and heads, under thresholds for one target.

    Args:
        accuracy_drop: as fast as at most so many percentage points less accuracy allow, with twice the noise of the
            held-out samples added.
        cost: as accurate as this share of the network's operations allows.
    """

    trains: ClassVar[bool] = False
    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    accuracy_drop: Annotated[float, Field(ge=0)] | None = None
    cost: Annotated[float, Field(gt=0)] | None = None

    def __post_init__(self) -> None:
        if (self.accuracy_drop is None) == (self.cost is None):
            raise ValueError(
                "expected one target: accuracy_drop (percentage points, such as 0.5) or cost (share of the "
                "operations, such as 0.6)"
            )

    def uses_unlabelled(self) -> bool:
        """Nothing is learnt from."""
        return False

    def roles(self) -> Mapping[str, Kind]:
        """One network."""
        return {"student": Kind.TRAINED}

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """The given network and heads, with all exits closed.

        Raises:
            MethodError: it has no exits, no sample can leave at one of them, the cost cannot be reached, or the data's
                images or classes are others than the network's.
        """
        given = models["student"]
        exits = inner(given)
        if not isinstance(exits, Exits):
            raise MethodError(
                f"early_exit sets the thresholds of a network that has heads, and the student "
                f"({type(exits).__name__}) has none; take it from a recipe whose byot delivers ensemble or early_exit"
            )
        if not _takes_these_images(given, exits, run):
            raise MethodError(
                "early_exit: these data have other classes, or the same in another order, or other images than the "
                "student was trained for; choose thresholds on data like those"
            )
        check_exits(exits.network, exits.at, run)
        if self.cost is not None:
            check_reachable(exits, run, cost=self.cost)
        return {"student": Exits(exits.network, cast(list[ExitHead], list(exits.heads)), at=exits.at)}

    def plan(self) -> Sequence[Stage]:
        """No stage."""
        return ()

    def uses_validation(self) -> bool:
        """For the thresholds."""
        return True

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """The network that answers early.

        Raises:
            MethodError: there is no validation batch, or the target cannot be reached.
        """
        exits = cast(Exits, nets["student"].model)
        open_exits(exits, nets.task, train, validation, accuracy_drop=self.accuracy_drop, cost=self.cost)
        return exits


def _takes_these_images(given: nn.Module, exits: Exits, run: Callable[[nn.Module], Any]) -> bool:
    """Whether a bridge around the whole changes nothing; the one inside it normalises."""
    with evaluating(given):
        seen = run(given)
        try:
            own = run(exits)
        except (RuntimeError, ValueError):
            return False
    return own.shape == seen.shape and torch.allclose(own, seen)
