"""Image classification: one row of a categorical distribution per image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.errors import MethodError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.rows import Rows
from limbeck.core.settings import settings
from limbeck.losses.precision import wide

UNLABELLED = -100
"""The label of an image without a label; torch's losses ignore it."""

_NO_CLASSES = {torch.int8, torch.int16, torch.int32, torch.bool}
"""Types of whole numbers that torch's cross-entropy does not take."""


@settings
class Classification:
    """Images to classes.

    A batch is `(images, labels)` or `(images, labels, ids)`: images [b c h w]; labels as class indices [b] (-100 = no
    label) or as distributions [b c] (a row of zeros = no label); ids [b].

    Args:
        label_smoothing: mass of the hard targets that is spread over all classes, in [0, 1).
    """

    row_kinds: ClassVar[tuple[str, ...]] = ("image",)

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def run(self, model: nn.Module, batch: Any) -> Any:
        """The network's answer to the batch's images: logits [b c].

        Raises:
            MethodError: the batch has no images at its first place.
        """
        if not isinstance(batch, (tuple, list)) or not batch:
            raise MethodError(f"expected a batch (images, labels) or (images, labels, ids), got {_told(batch)}")
        return model(batch[0])

    def supervised(self, forward_pass: ForwardPass, batch: Any) -> Float[Tensor, ""]:
        """Cross-entropy with the labels: the sum over labelled images divided by the number of *all* images.

        So that parts of a batch (micro-batches, processes) add up to the whole, however many of each are labelled.

        Raises:
            MethodError: there are no labels, or they are neither class numbers [b] of type int64 nor distributions
                [b c]; or the network gave no logits.
        """
        logits, labels = wide(_logits(forward_pass.output)), _labels(batch)
        expected = logits.shape if labels.is_floating_point() else logits.shape[:1]
        if labels.shape != expected or labels.dtype in _NO_CLASSES:
            raise MethodError(
                f"expected as labels class numbers, int64 [{len(logits)}], or distributions, float {[*logits.shape]}; "
                f"got {_told(labels)}"
            )
        if labels.is_floating_point():
            labels = self._smoothed(labels.to(logits.dtype))
            total = F.cross_entropy(logits, labels, reduction="sum")
        else:
            total = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.label_smoothing)
        return total / max(logits.shape[0], 1)

    def _smoothed(self, labels: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Torch would smooth a row of zeros (no label) into a uniform target; here it stays a row of zeros."""
        spread = labels.sum(-1, keepdim=True) / labels.shape[-1]
        return torch.lerp(labels, spread.expand_as(labels), self.label_smoothing)

    def size(self, batch: Any) -> int:
        """The number of images."""
        return int(batch[0].shape[0])

    def key(self, batch: Any) -> Int64[Tensor, " b"]:
        """The images' ids."""
        return batch[2]

    def rows(self, forward_pass: ForwardPass, batch: Any, kind: str = "image") -> Rows:
        """One row per image."""
        return Rows(_logits(forward_pass.output), _labels(batch))

    def evaluate(self, model: nn.Module, train: Iterable[Any], test: Iterable[Any]) -> Mapping[str, float]:
        """Accuracy and negative log-likelihood (nats) over the labelled images of `test`.

        Of labels that are distributions: how often the most likely class is right, and the cross-entropy with them.
        """
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        right, nll, count = 0.0, 0.0, 0
        try:
            with torch.no_grad():
                for batch in test:
                    logits, labels = _logits(self.run(model, batch)).float(), _labels(batch)
                    labels = labels.float() if labels.is_floating_point() else labels
                    classes = _classes(labels)
                    right += float((logits.argmax(-1) == classes).sum())
                    nll += float(F.cross_entropy(logits, labels, reduction="sum"))
                    count += int((classes != UNLABELLED).sum())
        finally:
            for module, mode in modes:
                module.training = mode
        return {"accuracy": right / max(count, 1), "nll": nll / max(count, 1)}

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Accuracy; at equal accuracy, the lower negative log-likelihood."""
        return metrics["accuracy"], -metrics["nll"]


def _logits(output: Any) -> Tensor:
    """A network's output, which is to be logits."""
    if not isinstance(output, Tensor):
        raise MethodError(
            f"expected logits [b c] as a network's answer, got {_told(output)}; wrap the network in a module whose "
            "forward returns the tensor, such as limbeck.models.from_transformers.Logits"
        )
    return output


def _labels(batch: Any) -> Tensor:
    if len(batch) < 2:
        raise MethodError(f"expected a batch (images, labels) or (images, labels, ids), got {_told(batch)}")
    return batch[1]


def _told(value: Any) -> str:
    """What something is, for a message."""
    if isinstance(value, Tensor):
        return f"a tensor {str(value.dtype).removeprefix('torch.')} {[*value.shape]}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def _classes(labels: Tensor) -> Int64[Tensor, " b"]:
    """The most likely class of each image; -100 where there is no label."""
    if not labels.is_floating_point():
        return labels
    return torch.where(labels.sum(-1) > 0, labels.argmax(-1), UNLABELLED)
