"""Image classifiers of Transformers: `hf/NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.errors import ModelError, WeightsError, close
from limbeck.models.arguments import Interface, check_names
from limbeck.models.heads import heads
from limbeck.models.packages import imported

ALSO_KNOWN = {"attn_implementation", "num_labels"}


class Logits(nn.Module):
    """A Transformers image classifier as a plain network: images to logits.

    Args:
        model: takes `pixel_values`, returns an output with `logits`. Feature taps see it under `model.`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images."""
        return self.model(pixel_values=images).logits


def build_from_transformers(
    name: str, arguments: Mapping[str, Any], interface: Interface, *, pretrained: bool
) -> Logits:
    """Build an image classifier from a configuration, or from published weights.

    From scratch it gets the task's classes, channels and image size where its configuration names them. With weights it
    keeps its own channels and size and gets a fresh classifier unless the number of classes is its own.

    Args:
        name: a model type of Transformers (`vit`, from scratch only), a folder, or a name on its hub.
        arguments: fields of its configuration, and `attn_implementation`; they win over the interface.
        interface: what the network has to take and to give.
        pretrained: load the weights, not only the configuration.

    Raises:
        MissingPackage: Transformers is not installed.
        ModelError: an unknown name or argument, or one that does not work.
        WeightsError: the weights cannot be loaded, or do not fit.
    """
    transformers = imported("transformers", extra="text")
    full = f"hf/{name}"
    known = _configuration(transformers, name, {}).to_dict().keys()
    aliases = _configuration(transformers, name, {}).attribute_map.keys()
    check_names(full, arguments, known | aliases | ALSO_KNOWN)
    offered: dict[str, Any] = {} if interface.classes is None else {"num_labels": interface.classes}
    if not pretrained:
        size = interface.height if interface.height == interface.width else [interface.height, interface.width]
        sizes = {"num_channels": interface.channels, "image_size": size}
        offered |= {key: value for key, value in sizes.items() if key in known}
    values = offered | dict(arguments)
    attention = {"attn_implementation": values.pop("attn_implementation")} if "attn_implementation" in values else {}
    if pretrained:
        return Logits(_pretrained(transformers, name, values, attention))
    try:
        configuration = _configuration(transformers, name, values)
        return Logits(transformers.AutoModelForImageClassification.from_config(configuration, **attention))
    except ModelError:
        raise
    except Exception as error:  # configurations fail with their own validators' classes, models with any
        raise ModelError(f"{full} cannot be built with {values}: {error}") from error


def _configuration(transformers: Any, name: str, values: dict[str, Any]) -> Any:
    types = imported("transformers.models.auto.modeling_auto", extra="text")
    classifiers = sorted(types.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    if name in classifiers:
        return transformers.AutoConfig.for_model(name, **values)
    if "/" not in name and not Path(name).is_dir():
        raise ModelError(
            f"Transformers has no image classifier {name!r} ({close(name, classifiers)}); "
            "expected a model type, a folder, or owner/name on its hub"
        )
    try:
        # False, not the default: the default asks on the terminal whether to run code that comes with the weights
        return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **values)
    except Exception as error:
        raise WeightsError(f"the configuration of hf/{name} cannot be loaded: {error}") from error


def _pretrained(transformers: Any, name: str, values: dict[str, Any], attention: dict[str, Any]) -> nn.Module:
    if "/" not in name and not Path(name).is_dir():
        raise WeightsError(f"hf/{name} is a type of model, without weights; name a folder, or owner/name on the hub")
    configuration = _configuration(transformers, name, values)
    try:
        model, report = transformers.AutoModelForImageClassification.from_pretrained(
            name,
            config=configuration,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **attention,
        )
    except Exception as error:  # a hub client's own HTTP exceptions, or a damaged file
        raise WeightsError(f"the weights of hf/{name} cannot be loaded: {error}") from error
    fresh = {str(key) for key in report["missing_keys"]} | {str(key[0]) for key in report["mismatched_keys"]}
    classifiers = tuple(f"{path}." for path in heads(model, classes=configuration.num_labels))
    wrong = sorted(key for key in fresh if not key.startswith(classifiers))
    if wrong:
        raise WeightsError(f"the weights of hf/{name} do not fit its configuration: {', '.join(wrong[:5])}")
    return model.train()
