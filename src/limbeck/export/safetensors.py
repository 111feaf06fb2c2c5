"""A network's weights, without code: the plain network inside its preprocessing, under the names of its own modules."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.bridge import inner
from limbeck.core.errors import ExportError
from limbeck.core.files import atomic_path
from limbeck.evaluate.mode import evaluating
from limbeck.export.verify import TOLERANCE, Exported, check_samples, on_cpu, verify


def export(
    network: nn.Module,
    path: str | Path,
    samples: Float[Tensor, "n c h w"],
    *,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Write the weights, read them back into an emptied copy of the network and run it against the live one.

    Args:
        network: images [b c h w] in [0, 1] to logits; its modes are restored. What is saved is the network inside a
            bridge, so the preprocessing is not in the file: note it in `metadata`.
        path: the file; it appears only if it agrees with the network.
        samples: pixels in [0, 1], to verify the file.
        metadata: texts to keep in the file's header.
        tolerance: the largest difference accepted, as a share of the largest absolute logit.

    Raises:
        ExportError: the weights read back differ from the live network's.
        RunError: the disk is full or the folder cannot be written.
    """
    samples = check_samples(samples)
    live = on_cpu(network)
    with evaluating(live), atomic_path(path) as temporary:
        # The library's own function, because it knows about tied weights and about memory layouts other than C order.
        safetensors.torch.save_model(inner(live), str(temporary), metadata={"format": "pt", **(metadata or {})})
        match = verify(live, _read_back(live, temporary), samples, tolerance=tolerance)
    return Exported(
        format="safetensors",
        path=Path(path),
        bytes=Path(path).stat().st_size,
        max_difference=match.max_difference,
        agreement=match.agreement,
        median_ms=None,
        detail={"tensors": len(inner(live).state_dict())},
    )


def _read_back(network: nn.Module, path: Path) -> nn.Module:
    """A copy of the network whose every saved tensor comes from the file."""
    emptied = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in inner(emptied).state_dict().values():
            tensor.zero_()
    try:
        safetensors.torch.load_model(inner(emptied), path, strict=True)
    except RuntimeError as error:
        raise ExportError(f"the weights of {type(inner(network)).__name__} cannot be read back: {error}") from error
    return emptied
