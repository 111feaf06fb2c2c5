"""What a network says about every sample of a data set.

Everything that a report needs (accuracy, calibration, agreement with a teacher) is computed from this one object, so a
data set is passed through a network once, and a file of it can be measured again without the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from limbeck.core.errors import DataError, ModelError, RunError
from limbeck.core.files import write_atomically
from limbeck.core.layout import channels_last
from limbeck.evaluate.mode import device_of, evaluating

UNLABELLED = -100
"""The label of a sample whose class is not known."""

_NAMES = ("logits", "labels", "ids")
_FORMAT = {"format": "limbeck predictions 1"}


@dataclass(frozen=True, eq=False)
class Predictions:
    """A network's logits on a data set, with the labels and the identities of the samples. All on the CPU.

    Args:
        logits: float32, one row per sample.
        labels: class indices; -100 = unlabelled.
        ids: the identity of each sample.
    """

    logits: Float[Tensor, "n c"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.ids)

    def labelled(self) -> Predictions:
        """Only the samples that have a label."""
        return self.take(self.labels != UNLABELLED)

    def take(self, rows: Tensor) -> Predictions:
        """The samples that a mask [n] or a tensor of row numbers selects."""
        return Predictions(logits=self.logits[rows], labels=self.labels[rows], ids=self.ids[rows])

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        tensors = {name: getattr(self, name).contiguous() for name in _NAMES}
        write_atomically(path, safetensors.torch.save(tensors, metadata=_FORMAT))

    @staticmethod
    def load(path: str | Path) -> Predictions:
        """Read a file that `save` wrote.

        Raises:
            RunError: there is no such file, it is damaged, or it holds something else.
        """
        advice = "evaluate the network again to write it anew"
        try:
            tensors = safetensors.torch.load_file(path)
        except FileNotFoundError as error:
            raise RunError(f"no file of predictions at {path}; {advice}") from error
        except (OSError, safetensors.SafetensorError) as error:
            raise RunError(f"cannot read the predictions in {path}: {error}; {advice}") from error
        if sorted(tensors) != sorted(_NAMES):
            raise RunError(f"expected the tensors {', '.join(_NAMES)} in {path}, got {', '.join(tensors)}; {advice}")
        return Predictions(**tensors)


def predict(
    model: nn.Module, batches: Iterable[Any], run: Callable[[nn.Module, Any], Tensor] | None = None
) -> Predictions:
    """Pass a data set through a network, in evaluation mode and without gradients.

    Args:
        model: images in [0, 1] to logits [b c]; every submodule's mode is afterwards what it was before.
        batches: in any order: tuples that begin with (images [b c h w], labels [b]); a third element are the ids [b].
            Without one, samples are numbered from 0 in the order in which they come.
        run: how the network runs on a batch (a task's `run`); absent = on the batch's images, moved to its device.

    Raises:
        DataError: there is no batch, or labels are not one class index per sample.
        ModelError: the network's output is not one row of logits per sample.
    """
    run = run or _run_on_images
    logits, labels, ids, seen = [], [], [], 0
    with evaluating(model), channels_last(model):
        for batch in batches:
            output = run(model, batch)
            _check(output, batch[1])
            # Logits stay where they are until the end: a copy per batch would make a GPU wait for every one of them.
            logits.append(output.float())
            labels.append(batch[1].cpu())
            ids.append(batch[2].cpu() if len(batch) > 2 else torch.arange(seen, seen + len(output)))
            seen += len(output)
    if not seen:
        raise DataError("expected at least one batch to evaluate on, got none; is the test set empty?")
    return Predictions(logits=torch.cat(logits).cpu(), labels=torch.cat(labels), ids=torch.cat(ids))


def join(parts: Sequence[Predictions]) -> Predictions:
    """Put the predictions of several processes together, in the order of their ids.

    Args:
        parts: predictions of one network on disjoint parts of a data set.

    Raises:
        DataError: a sample is in two parts.
    """
    whole = Predictions(*(torch.cat([getattr(part, name) for part in parts]) for name in _NAMES))
    ids, order = whole.ids.sort(stable=True)
    if len(ids.unique()) != len(ids):
        raise DataError("expected every sample in one part, got some in two; give each process its own samples")
    return whole.take(order)


def _run_on_images(model: nn.Module, batch: Any) -> Tensor:
    images: Tensor = batch[0]
    output: Tensor = model(images.to(device_of(model)))
    return output


def _check(output: Any, labels: Tensor) -> None:
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise DataError(
            f"expected one int64 class index per sample, got labels {tuple(labels.shape)} of {labels.dtype}; "
            "evaluate on batches without mixup or cutmix"
        )
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(labels):
        raise ModelError(f"expected logits [{len(labels)}, classes], got {shape}; wrap the network to return logits")
