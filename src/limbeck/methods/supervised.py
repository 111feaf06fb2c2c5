"""Training without a teacher: the baseline that every method is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from limbeck.core.method import Method, Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At
from limbeck.core.settings import settings


@settings
class Supervised(Method):
    """The task's own loss against the labels, and nothing else."""

    def uses_unlabelled(self) -> bool:
        """Labels only."""
        return False

    def roles(self) -> Mapping[str, Kind]:
        """One network."""
        return {"student": Kind.TRAINED}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The label term."""
        return {"task": nets.task.supervised(nets["student"](batch), batch)}
