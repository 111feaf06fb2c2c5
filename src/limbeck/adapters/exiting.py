"""Methods that train heads inside the student: where the heads stand, what they are, and what is delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from limbeck.adapters.exit_check import check_exits
from limbeck.adapters.exit_choice import check_cost, open_exits
from limbeck.adapters.exit_head import heads_for
from limbeck.adapters.exits import Exits
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.pairs import ends_of_stages, known
from limbeck.core.settings import settings

At = Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)]
"""Modules after which heads stand, shallow before deep, or `auto`, found when the network is known."""

Delivers = Literal["network", "ensemble", "early_exit"]
"""The network without its heads, the mean of all logits, or a network that is left where it is sure."""


@settings
class Exiting(Method):
    """Base of methods whose student has heads: the adapters `exit1`, `exit2` and so on, from shallow to deep.

    Args:
        at: modules after which heads stand; `auto` = the ends of all stages but the last.
        deepest: module that gives the deepest features; `auto` = the end of the last stage.
        delivers: what is evaluated and exported.
        accuracy_drop: target of early exits: as fast as at most so many percentage points less accuracy allow, with
            twice the noise of the held-out samples added.
        cost: target of early exits: as accurate as this share of the network's operations allows.
    """

    at: At = "auto"
    deepest: str = "auto"
    delivers: Delivers = "network"
    accuracy_drop: Annotated[float, Field(ge=0)] | None = None
    cost: Annotated[float, Field(gt=0)] | None = None

    def __post_init__(self) -> None:
        targets = [value for value in (self.accuracy_drop, self.cost) if value is not None]
        if len(targets) != (1 if self.delivers == "early_exit" else 0):
            raise ValueError(
                "delivers: early_exit needs one target, accuracy_drop (percentage points, such as 0.5) or cost (share "
                f"of the operations, such as 0.6), and delivers: {self.delivers} got {len(targets)}"
            )

    @property
    def taps(self) -> tuple[str, ...]:
        """Where the heads stand; raises MethodError while that is still `auto`."""
        return known(self.at)

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """The ends of stages, where nothing is named."""
        if "auto" not in (self.at, self.deepest):
            return self
        *at, deepest = ends_of_stages(models["student"], run)
        own, last = tuple(at) if self.at == "auto" else self.at, deepest if self.deepest == "auto" else self.deepest
        return replace(self, at=own, deepest=last)

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """As given, if samples can leave it where they shall, and as cheaply as asked for."""
        if self.delivers == "early_exit":
            check_exits(models["student"], self.taps, run)
        if self.cost is not None:
            check_cost(models["student"], self.taps, self.deepest, run, cost=self.cost)
        return models

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """Where heads stand, and the deepest features."""
        return {"student": (*self.taps, self.deepest)}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """The heads.

        Raises:
            MethodError: the taps are not from shallow to deep, or no head fits to one of them.
        """
        heads = heads_for(self.tapped()["student"], shapes["student"], nets["student"].output_shape)
        return {f"exit{number}": head for number, head in enumerate(heads, start=1)}

    def uses_validation(self) -> bool:
        """For the thresholds of early exits."""
        return self.delivers == "early_exit"

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """The network, alone or with its heads.

        Raises:
            MethodError: early exits have no validation batch to choose their thresholds on, or cannot reach the target.
        """
        model, heads = nets["student"].model, list(nets.adapters.values())
        if self.delivers == "network":
            return model
        if self.delivers == "ensemble":
            return Exits(model, heads, at=self.taps, answer="ensemble")
        exits = Exits(model, heads, at=self.taps)
        open_exits(exits, nets.task, train, validation, accuracy_drop=self.accuracy_drop, cost=self.cost)
        return exits
