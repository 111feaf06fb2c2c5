"""Optimisers from their descriptions: torch's and timm's own, one parameter group per trained path."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from limbeck.core.errors import MethodError, MissingPackage, close
from limbeck.core.layout import laid_out_alike
from limbeck.train.settings import LAMB, LARS, SGD, Adam, AdamW, RMSprop

Description = SGD | Adam | AdamW | RMSprop | LARS | LAMB


def make_optimizers(
    groups: Sequence[dict[str, Any]],
    description: Description,
    own: Mapping[str, Description],
    *,
    decay: Literal["all", "matrices"] = "all",
) -> list[torch.optim.Optimizer]:
    """The optimisers of a stage.

    Args:
        groups: of `Distiller.param_groups`: `params`, `path`, `rate`.
        description: of the optimiser of all groups that have none of their own.
        own: trained path -> description.
        decay: whether weight decay falls on all parameters or on those of two axes and more; then a group with others
            becomes two, the second without decay.

    Raises:
        MissingPackage: LARS or LAMB without timm.
    """
    if decay == "matrices":
        groups = [part for group in groups for part in _vectors_apart(group)]
    shared = [group for group in groups if group["path"] not in own]
    optimizers = [_make(shared, description)] if shared else []
    apart = dict.fromkeys(group["path"] for group in groups if group["path"] in own)
    return optimizers + [_make([group for group in groups if group["path"] == path], own[path]) for path in apart]


def _vectors_apart(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group as up to two: matrices and kernels; and what has at most one axis, without decay."""
    matrices = [parameter for parameter in group["params"] if parameter.ndim > 1]
    vectors = [parameter for parameter in group["params"] if parameter.ndim <= 1]
    parts = [{**group, "params": matrices}, {**group, "params": vectors, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


def match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Lay a loaded state out as its parameters: it may have been saved when they lay otherwise."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                state[name] = laid_out_alike(value, parameter)


def check_groups(trained: Sequence[str], own: Mapping[str, Description]) -> None:
    """Refuse `train.groups` that name a path which no stage trains.

    Args:
        trained: paths that the method's stages train.
        own: trained path -> description.

    Raises:
        MethodError: a path of `own` is not among them.
    """
    for path in own:
        if path not in trained:
            raise MethodError(f"train.groups: {path!r} is no trained path of this method; {close(path, trained)}")


def _make(groups: Sequence[dict[str, Any]], description: Description) -> torch.optim.Optimizer:
    arguments = {key: value for key, value in dataclasses.asdict(description).items() if key not in ("name", "lr")}
    prepared = [{**group, "lr": description.lr * group["rate"]} for group in groups]
    made = _class_of(description)(prepared, lr=description.lr, **arguments, **_fused(description, groups))
    for group in made.param_groups:
        group["base_lr"] = group["lr"]
    return made


def _class_of(description: Description) -> Any:
    if isinstance(description, LARS | LAMB):
        try:
            import timm.optim
        except ImportError as error:
            raise MissingPackage("timm", "vision") from error
        return getattr(timm.optim, "Lars" if isinstance(description, LARS) else "Lamb")
    return getattr(torch.optim, type(description).__name__)


def _fused(description: Description, groups: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """Torch's fused kernels: two to four times faster on CPU as well, with the same mathematics."""
    types = {parameter.device.type for group in groups for parameter in group["params"]}
    return {"fused": True} if isinstance(description, SGD | Adam | AdamW) and types <= {"cpu", "cuda"} else {}
