"""Networks by name: limbeck's own zoo, timm, torchvision, Transformers, or a Python path.

`ZOO` maps each name of limbeck's own networks to the file and function that builds it. Importing this table costs
nothing: torch and the libraries are imported when a network is built (`limbeck.models.build.build`).
"""

from __future__ import annotations

from typing import Final

__all__ = ["ZOO"]

ZOO: Final[dict[str, str]] = {
    "cnn": "cnn:cnn",
    "fitnet1": "fitnet:fitnet1",
    "fitnet2": "fitnet:fitnet2",
    "fitnet3": "fitnet:fitnet3",
    "fitnet4": "fitnet:fitnet4",
    "fitnet_mnist": "fitnet:fitnet_mnist",
    "maxout_mnist": "fitnet:maxout_mnist",
    "mcunet": "mobile:mcunet",
    "mlp": "mlp:mlp",
    "mobilenetv2": "mobilenetv2:mobilenetv2",
    "mobilenetv2_tiny": "mobile:mobilenetv2_tiny",
    "mobilenetv2_w035": "mobile:mobilenetv2_w035",
    "mobilenetv3_w035": "mobile:mobilenetv3_w035",
    "resnet": "cifar_resnet:resnet",
    "resnet110": "cifar_resnet:resnet110",
    "resnet14": "cifar_resnet:resnet14",
    "resnet18": "small_images:resnet18",
    "resnet20": "cifar_resnet:resnet20",
    "resnet26": "cifar_resnet:resnet26",
    "resnet32": "cifar_resnet:resnet32",
    "resnet32x4": "cifar_resnet:resnet32x4",
    "resnet34": "small_images:resnet34",
    "resnet44": "cifar_resnet:resnet44",
    "resnet50": "small_images:resnet50",
    "resnet56": "cifar_resnet:resnet56",
    "resnet8": "cifar_resnet:resnet8",
    "resnet8x4": "cifar_resnet:resnet8x4",
    "shufflenetv1": "shufflenetv1:shufflenetv1",
    "shufflenetv2": "shufflenetv2:shufflenetv2",
    "vgg11": "vgg:vgg11",
    "vgg13": "vgg:vgg13",
    "vgg16": "vgg:vgg16",
    "vgg19": "vgg:vgg19",
    "vgg8": "vgg:vgg8",
    "wrn": "wide_resnet:wrn",
    "wrn_16_1": "wide_resnet:wrn_16_1",
    "wrn_16_2": "wide_resnet:wrn_16_2",
    "wrn_40_1": "wide_resnet:wrn_40_1",
    "wrn_40_2": "wide_resnet:wrn_40_2",
}
