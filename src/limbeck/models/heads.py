"""Finding and replacing the ends of a network of another library: its first convolution and its classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from limbeck.core.errors import ModelError


def heads(network: nn.Module, *, classes: int) -> list[str]:
    """Paths of the layers that give `classes` numbers, in the order in which the network holds them.

    Args:
        network: searched for linear layers and 1x1 convolutions.
        classes: their number of outputs.
    """
    return [path for path, module in network.named_modules() if _outputs(module) == classes]


def replace_head(network: nn.Module, *, before: int, after: int) -> None:
    """Put a freshly drawn classifier in the place of the last layer that gives `before` numbers.

    Args:
        network: changed in place.
        before: number of classes that the network was trained for.
        after: number of classes wanted.

    Raises:
        ModelError: no layer gives `before` numbers.
    """
    path = _head(network, classes=before)
    old = _layer(network, path)
    if isinstance(old, nn.Conv2d):
        new: nn.Module = nn.Conv2d(old.in_channels, after, 1, bias=old.bias is not None)
    else:
        new = nn.Linear(old.in_features, after, bias=old.bias is not None)
    network.set_submodule(path, new)


def refit_head(network: nn.Module, *, before: Sequence[str], after: Sequence[str]) -> None:
    """Give the last layer other classes: rows of classes that it knows are kept, the others follow from those it loses.

    A new class stands for what is left over. Its row is the mean of the rows that are not kept, and its bias is larger
    by the logarithm of their number: so it never gets more than the probability that they had together, and exactly
    that where their logits are equal. Several new classes share it evenly. Where no row is left over, the rows of new
    classes are drawn anew.

    Args:
        network: changed in place.
        before: names of its classes, in order.
        after: names of the classes wanted, in order.

    Raises:
        ModelError: no layer gives one number per class of `before`.
    """
    path = _head(network, classes=len(before))
    old = _layer(network, path)
    kept = [number for number, name in enumerate(after) if name in before]
    left = [number for number, name in enumerate(before) if name not in after]
    fresh = [number for number, name in enumerate(after) if name not in before]
    replace_head(network, before=len(before), after=len(after))
    new = _layer(network, path)
    with torch.no_grad():
        new.weight[kept] = old.weight[[list(before).index(after[number]) for number in kept]]
        if left and fresh:
            new.weight[fresh] = old.weight[left].mean(0)
        if old.bias is None or new.bias is None:
            return
        new.bias[kept] = old.bias[[list(before).index(after[number]) for number in kept]]
        if left and fresh:
            new.bias[fresh] = old.bias[left].mean() + math.log(len(left) / len(fresh))


def input_channels(network: nn.Module) -> int | None:
    """Channels that the first convolution takes; None without a convolution.

    Args:
        network: searched in the order in which it holds its modules.
    """
    return next((module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d)), None)


def replace_stem(network: nn.Module, *, channels: int) -> None:
    """Give the first convolution another number of input channels, with weights drawn anew at the same spread.

    Args:
        network: changed in place.
        channels: of the images.

    Raises:
        ModelError: the network has no convolution, or its first one is grouped.
    """
    path, old = next(((p, m) for p, m in network.named_modules() if isinstance(m, nn.Conv2d)), ("", None))
    if old is None or old.groups != 1:
        raise ModelError(f"the first convolution of {type(network).__name__} cannot be given {channels} channels")
    new = nn.Conv2d(
        channels,
        old.out_channels,
        (old.kernel_size[0], old.kernel_size[1]),
        stride=(old.stride[0], old.stride[1]),
        padding=old.padding if isinstance(old.padding, str) else (old.padding[0], old.padding[1]),
        dilation=(old.dilation[0], old.dilation[1]),
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
    )
    with torch.no_grad():
        new.weight.normal_(std=old.weight.std().item())
        if new.bias is not None and old.bias is not None:
            new.bias.copy_(old.bias)
    network.set_submodule(path, new)


def _head(network: nn.Module, *, classes: int) -> str:
    paths = heads(network, classes=classes)
    if not paths:
        raise ModelError(f"{type(network).__name__} has no layer with {classes} outputs that could be replaced")
    return paths[-1]


def _layer(network: nn.Module, path: str) -> nn.Linear | nn.Conv2d:
    found = network.get_submodule(path)
    assert isinstance(found, nn.Linear | nn.Conv2d)  # noqa: S101 - `_outputs` knows no other kind
    return found


def _outputs(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Conv2d) and tuple(module.kernel_size) == (1, 1):
        return module.out_channels
    return None
