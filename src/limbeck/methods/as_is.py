"""No training: the network is measured, reported and exported as it is given.

For a network that has been trained already, and for an ensemble of several as a network of its own:

    models: {student: {ensemble: [{from: one.yaml}, {from: two.yaml}]}}
    method: as_is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from limbeck.core.method import Method
from limbeck.core.net import Kind
from limbeck.core.plan import Stage
from limbeck.core.settings import settings


@settings
class AsIs(Method):
    """The given network, unchanged."""

    trains: ClassVar[bool] = False

    def uses_unlabelled(self) -> bool:
        """Nothing is learnt from."""
        return False

    def roles(self) -> Mapping[str, Kind]:
        """One network."""
        return {"student": Kind.TRAINED}

    def plan(self) -> Sequence[Stage]:
        """No stage."""
        return ()
