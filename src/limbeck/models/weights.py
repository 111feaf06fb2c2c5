"""Weights of a network to and from a file.

Files are safetensors when limbeck writes them. Checkpoints of torch are read as plain tensors (`weights_only`): a file
that would run code is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from limbeck.core.errors import WeightsError
from limbeck.core.files import write_atomically

# under which key training programs keep the weights beside their optimiser
NESTED = ("state_dict", "model_state_dict", "model", "net")
COMPILED = "_orig_mod."
PARALLEL = "module."
SHOWN = 5


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Copy the weights in a file into a network's own parameters and buffers.

    Args:
        network: changed in place, or, when this raises, not at all.
        path: `.safetensors`, or a checkpoint of torch: a state dict, also under `state_dict` or `model`; prefixes that
            torch.compile and DataParallel leave in the names are ignored.

    Raises:
        WeightsError: no such file, a damaged or unsafe one, or one whose names or shapes are not the network's.
    """
    own = network.state_dict()
    found = _clean(read_weights(path), parallel=any(name.startswith(PARALLEL) for name in own))
    # checkpoints older than the step counter of BatchNorm lack it; torch then leaves it as it is
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in found if name not in own]
    mismatched = [
        f"{name} {list(found[name].shape)} in the file, {list(own[name].shape)} in the network"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    problems = (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
    told = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in problems if names]
    if told:
        raise WeightsError(f"{path} does not fit {type(network).__name__}; " + "; ".join(told))
    network.load_state_dict(found, strict=False)


def save_weights(network: nn.Module, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network's parameters and buffers as safetensors, whole or not at all.

    Args:
        network: on any device, in any memory format; tied tensors are written once per name.
        path: the file's final name; missing folders are made.
        metadata: short texts for the file's header.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in network.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        # safetensors refuses two names over one memory
        shared = plain.untyped_storage().data_ptr() in storages
        tensors[name.replace(COMPILED, "")] = plain.clone() if shared else plain
        storages.add(plain.untyped_storage().data_ptr())
    write_atomically(path, safetensors.torch.save(tensors, metadata=dict(metadata or {})))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors in a file, by name, on the CPU.

    Args:
        path: as in `load_weights`.

    Raises:
        WeightsError: no such file, a damaged or unsafe one, or one without weights.
    """
    file = Path(path)
    if not file.is_file():
        state = "is a folder" if file.is_dir() else "does not exist"
        raise WeightsError(f"weights {file} {state}; expected a .safetensors file or a checkpoint of torch")
    if file.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(file)
        except SafetensorError as error:
            raise WeightsError(f"{file} is not a whole safetensors file: {error}; copy or download it again") from error
    return _state_dict(file, _checkpoint(file))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts in the header of a safetensors file.

    Args:
        path: as `save_weights` wrote it.

    Raises:
        WeightsError: no such file, or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error


def _checkpoint(file: Path) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower() and "weights only" not in str(error).lower():
            raise WeightsError(f"{file} is damaged: {error}") from error
        raise WeightsError(
            f"{file} holds more than tensors, and reading it would run code, so it was not read; if you trust it, load "
            "it in a program of your own and save its state_dict() with safetensors"
        ) from error
    except Exception as error:  # a cut or foreign file fails anywhere in torch's reader
        raise WeightsError(f"{file} cannot be read as a checkpoint of torch: {error}") from error


def _state_dict(file: Path, content: object) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{file} holds no weights: expected names and tensors, got {_described(content)}")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(f"{file} holds other things beside tensors: {_listed(others)}; save only the state_dict()")
    return {str(name): value for name, value in content.items()}


def _clean(tensors: Mapping[str, Tensor], *, parallel: bool) -> dict[str, Tensor]:
    """Names without what torch.compile and, unless the network itself has such a module, DataParallel add."""
    clean = {name.replace(COMPILED, ""): tensor for name, tensor in tensors.items()}
    if parallel or not all(name.startswith(PARALLEL) for name in clean):
        return clean
    return {name.removeprefix(PARALLEL): tensor for name, tensor in clean.items()}


def _described(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a mapping with the keys {_listed([str(key) for key in content])}"
    return f"a {type(content).__name__}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
