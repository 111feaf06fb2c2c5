"""A network from its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck.core.errors import ModelError, close
from limbeck.models import ZOO
from limbeck.models.arguments import Interface
from limbeck.models.from_path import build_from_path, build_from_zoo
from limbeck.models.from_timm import build_from_timm
from limbeck.models.from_torchvision import build_from_torchvision
from limbeck.models.from_transformers import build_from_transformers
from limbeck.models.names import ROUTES, network_names

LIBRARIES = {"timm": build_from_timm, "torchvision": build_from_torchvision, "hf": build_from_transformers}


def build(
    name: str,
    arguments: Mapping[str, Any],
    *,
    classes: int | None,
    channels: int,
    height: int,
    width: int,
    pretrained: bool = False,
) -> nn.Module:
    """Build a network; its weights are drawn from torch's global generator.

    Args:
        name: one of limbeck's own (`limbeck.models.ZOO`), `timm/NAME`, `torchvision/NAME`, `hf/NAME` or
            `package.module:callable`.
        arguments: of that network; they win over the four below.
        classes: number of logits; None, with `pretrained` only, keeps the published classifier.
        channels: of the images.
        height: of the images, pixels.
        width: of the images, pixels.
        pretrained: with the weights that the library publishes; the network then keeps its own channels and size.

    Raises:
        MissingPackage: the library is not installed.
        ModelError: an unknown name or argument, or arguments that do not work.
        WeightsError: published weights do not exist or cannot be loaded.

    >>> build("resnet8", {}, classes=10, channels=1, height=8, width=8).fc
    Linear(in_features=64, out_features=10, bias=True)
    """
    if classes is None and not pretrained:
        raise ModelError(f"{name} needs a number of classes; only published weights bring their own")
    interface = Interface(classes=classes, channels=channels, height=height, width=width)
    library, slash, rest = name.partition("/")
    if name in ZOO:
        network = build_from_zoo(name, arguments, interface, pretrained=pretrained)
    elif slash and rest and library in LIBRARIES:
        network = LIBRARIES[library](rest, arguments, interface, pretrained=pretrained)
    elif ":" in name and "/" not in name:
        network = build_from_path(name, arguments, interface, pretrained=pretrained)
    else:
        raise ModelError(f"no network is called {name!r} ({close(name, network_names())}); also {', '.join(ROUTES)}")
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} gave an object of type {type(network).__name__}; expected a torch.nn.Module")
    return network
