"""A network as a graph of tensor operations for any batch size, from which files are made."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.assembled import leaves_early
from limbeck.core.errors import ExportError


def trace(
    network: nn.Module, samples: Float[Tensor, "n c h w"], *, target: str, called: nn.Module | None = None
) -> torch.export.ExportedProgram:
    """The network's graph, in the mode in which it is.

    Args:
        network: images to logits.
        samples: of the size that the file shall take; only two are used.
        target: what the graph is for, as an error shall call it.
        called: what an error shall name instead of the network.

    Raises:
        ExportError: the network's forward depends on the values of the images or on their number.
    """
    if leaves_early(network):
        raise ExportError(
            f"a network with early exits cannot be exported to {target}, which records one way through a network; the "
            "format 'onnx' keeps the exits, 'safetensors' saves the weights"
        )
    # Tracing takes a batch of 1 for a constant of the network, a batch of 2 for a number that may vary.
    two = samples[torch.arange(2) % len(samples)]
    batch = torch.export.Dim("batch")
    with explained(called or network, target):
        return torch.export.export(network, (two,), dynamic_shapes=({0: batch},))


@contextmanager
def explained(network: nn.Module, target: str) -> Iterator[None]:
    """Turn whatever tracing or writing raises (also out of the network's own code) into an error with advice."""
    try:
        # Both libraries warn about their own internals and print graphs, neither of which a reader can act on.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise ExportError(
            f"{type(network).__name__} cannot be exported to {target}: {first_line(error)} Its forward must be one "
            "graph of tensor operations for any batch size. The format 'safetensors' saves the weights of any network."
        ) from error


def first_line(error: Exception) -> str:
    """An exception's type and the first sentence of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0].rstrip('.') if text else 'no reason given'}."
