"""How much memory one forward pass needs at its worst moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from limbeck.evaluate.mode import device_of, evaluating


def peak_memory(model: nn.Module, example: Float[Tensor, "b c h w"]) -> dict[str, Any]:
    """The peak of memory in one forward pass without gradients.

    What `bytes` means depends on the device. On CUDA it is `torch.cuda.max_memory_allocated`: everything that PyTorch's
    allocator held at once, also what was there before. On the CPU it is the largest sum, after any operator, of all
    tensors alive: parameters, buffers, the example, and the intermediate results not yet freed. Scratch space
    that an operator takes and gives back within itself is not seen there; it is a property of the machine's libraries.

    Args:
        model: images to logits; its modes are restored.
        example: a batch, on any device.

    Returns:
        `bytes`, `batch`, and `device` ("cpu" or the GPU's name).
    """
    device = device_of(model)
    images = example.to(device)
    with evaluating(model), torch.compiler.set_stance("force_eager"):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            model(images)
            torch.cuda.synchronize(device)
            peak = torch.cuda.max_memory_allocated(device)
        else:
            with _LiveBytes([images, *model.parameters(), *model.buffers()]) as live:
                model(images)
            peak = live.peak
    return {"bytes": peak, "batch": len(example), "device": device_name(device)}


def device_name(device: torch.device) -> str:
    """What a figure was measured on: "cpu", or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


class _LiveBytes(TorchDispatchMode):
    """Sums the storages that are alive after every operator. Views share a storage, which is counted once."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # A weak reference keeps a storage's address from being given away, so the address names it without doubt.
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0
        self._add(tensors)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        self._add(tree_iter(output))
        return output

    def _add(self, values: Any) -> None:
        for gone in [key for key, (reference, _) in self.storages.items() if reference.expired()]:
            del self.storages[gone]
        for value in values:
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                reference = StorageWeakRef(storage)
                self.storages.setdefault(reference.cdata, (reference, storage.nbytes()))
        self.peak = max(self.peak, sum(size for _, size in self.storages.values()))
