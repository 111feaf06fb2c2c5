"""What a task is, and what a task may be able to do beyond that.

Only a task knows what a batch means. Methods ask it for losses and rows, so the same method serves classification,
segmentation, detection and language models, and there is no `if task == ...` anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor, nn

from limbeck.core.forward_pass import ForwardPass
from limbeck.core.rows import Rows


@runtime_checkable
class Task(Protocol):
    """How a network runs on a batch, and how well it does."""

    def run(self, model: nn.Module, batch: Any) -> Any:
        """The network's output on the batch's inputs."""

    def supervised(self, forward_pass: ForwardPass, batch: Any) -> Float[Tensor, ""]:
        """The loss against the batch's labels: a mean over `size(batch)`."""

    def size(self, batch: Any) -> int:
        """The number of things (images, pixels, tokens) over which the losses of this batch are means."""

    def key(self, batch: Any) -> Int64[Tensor, " b"]:
        """The identity of each sample, the same in every epoch."""

    def evaluate(self, model: nn.Module, train: Iterable[Any], test: Iterable[Any]) -> Mapping[str, float]:
        """The headline metrics on `test`. The model's mode is what it was before, module by module."""

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """What model selection maximises, ties broken from left to right."""


@runtime_checkable
class HasRows(Protocol):
    """Outputs are rows of categorical distributions."""

    row_kinds: ClassVar[tuple[str, ...]]

    def rows(self, forward_pass: ForwardPass, batch: Any, kind: str = ...) -> Rows:
        """The rows that the batch (never the network's own output) selects."""


@runtime_checkable
class HasEmbedding(Protocol):
    """One vector per sample."""

    def embedding(self, forward_pass: ForwardPass, batch: Any) -> Float[Tensor, "b d"]:
        """The vector of each sample."""


@runtime_checkable
class HasViews(Protocol):
    """A batch holds several views of each sample."""

    def views(self, batch: Any) -> tuple[Any, ...]:
        """One new batch per view."""


@runtime_checkable
class CanPropose(Protocol):
    """Networks propose regions."""

    def propose(self, forward_pass: ForwardPass, batch: Any) -> Any:
        """A new batch that carries this network's proposals, for other networks' heads."""


@runtime_checkable
class CanSample(Protocol):
    """Networks generate."""

    def sample(self, net: Any, batch: Any, rng: Any) -> Any:
        """A new batch that the network generated."""
