"""A network as a program of PyTorch (`torch.export.load(path).module()`), which runs without the network's own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.files import atomic_path
from limbeck.evaluate.mode import evaluating
from limbeck.export.trace import trace
from limbeck.export.verify import TOLERANCE, Exported, check_samples, on_cpu, speeds, verify


def export(
    network: nn.Module,
    path: str | Path,
    samples: Float[Tensor, "n c h w"],
    *,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Write a program, read it back and run it against the live network.

    Args:
        network: images [b c h w] in [0, 1] to logits; its modes are restored.
        path: the file; it appears only if it agrees with the network.
        samples: pixels in [0, 1], to verify the file and to time it.
        metadata: texts to keep in the file, each as an extra file of that name inside it.
        tolerance: the largest difference accepted, as a share of the largest absolute logit.

    Raises:
        ExportError: the network cannot be traced, or the file differs from it.
        RunError: the disk is full or the folder cannot be written.
    """
    samples = check_samples(samples)
    live = on_cpu(network)
    with evaluating(live), atomic_path(path) as temporary:
        program = trace(live, samples, target="torch.export")
        # An open file, because the library complains about paths that do not end in .pt2.
        with temporary.open("wb") as file:
            torch.export.save(program, file, extra_files=dict(metadata or {}))
        with temporary.open("rb") as file:
            module = torch.export.load(file).module()
        match = verify(live, module, samples, tolerance=tolerance)
        latency = speeds(live, module, samples, prepare=Tensor.contiguous)
    return Exported(
        format="torch_export",
        path=Path(path),
        bytes=Path(path).stat().st_size,
        max_difference=match.max_difference,
        agreement=match.agreement,
        median_ms=latency[0]["median_ms"],
        detail={"runtime": f"torch {torch.__version__}", "latency": latency},
    )
