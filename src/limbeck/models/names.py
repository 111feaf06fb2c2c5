"""The names of networks, for help texts and completion: no torch, no library is imported."""

from __future__ import annotations

from limbeck.models import ZOO

ROUTES = {
    "timm/NAME": "any network of timm, e.g. timm/resnet18",
    "torchvision/NAME": "any classification network of torchvision, e.g. torchvision/mobilenet_v3_small",
    "hf/NAME": "a Transformers image classifier: a model type (hf/vit), a folder or a hub name",
    "package.module:callable": "your own function or class that returns an nn.Module",
}


def network_names() -> list[str]:
    """The names of limbeck's own networks, sorted."""
    return sorted(ZOO)
