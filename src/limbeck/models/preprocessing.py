"""What the published weights of a network expect of its input, as the library that publishes them states it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.core.errors import WeightsError
from limbeck.models.heads import heads, input_channels
from limbeck.models.packages import imported


@dataclass(frozen=True)
class Preprocessing:
    """How pixels in [0, 1] become the input of a network, and what its outputs are called.

    Args:
        mean: per channel of pixels in [0, 1].
        std: per channel, positive.
        channels: that the network takes.
        size: height and width that the weights were trained at, pixels.
        classes: name of each output in order; absent where the library states none or the classifier is not the
            published one.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    size: tuple[int, int]
    classes: tuple[str, ...] | None = None


def preprocessing_of(network: nn.Module, name: str) -> Preprocessing | None:
    """Preprocessing of a network that was built with `pretrained=True`.

    It describes the published weights, so it means nothing for a network of the same name that starts from scratch.

    Args:
        network: as `limbeck.models.build.build` gave it.
        name: the name it was built by.

    Returns:
        None where no library states it: limbeck's own networks and Python paths.

    Raises:
        MissingPackage: the library is not installed.
        WeightsError: the hub's statement cannot be loaded.
    """
    library, _, rest = name.partition("/")
    if library == "timm":
        return _of_timm(network)
    if library == "torchvision":
        return _of_torchvision(network, rest)
    if library == "hf":
        return _of_transformers(network, rest)
    return None


def _of_timm(network: nn.Module) -> Preprocessing:
    resolved = imported("timm.data", extra="vision").resolve_model_data_config(network)
    published: Mapping[str, Any] = getattr(network, "pretrained_cfg", {})
    channels, height, width = resolved["input_size"]
    channels = input_channels(network) or channels
    patches: Any = getattr(network, "patch_embed", None)  # knows the size where the user chose another one
    height, width = getattr(patches, "img_size", None) or (height, width)
    # timm sums the weights of the first convolution when it takes fewer channels; the mean of the means fits that sum
    mean, std = (_per_channel(resolved[key], channels) for key in ("mean", "std"))
    return Preprocessing(mean, std, channels, (height, width), _names_of_timm(network, published))


def _names_of_timm(network: nn.Module, published: Mapping[str, Any]) -> tuple[str, ...] | None:
    if getattr(network, "num_classes", None) != published.get("num_classes"):
        return None
    if published.get("label_names"):
        return tuple(published["label_names"])
    data = imported("timm.data", extra="vision")
    subset = data.infer_imagenet_subset(network)
    if subset is None:
        return None
    # "tench, Tinca tinca": the first synonym is the name that torchvision gives too. A name must mean one class, but
    # "crane" is a bird and a machine: such a name is told apart by all its synonyms, or else by its position.
    texts = list(data.ImageNetInfo(subset).label_descriptions())
    texts = [text if texts.count(text) == 1 else f"{text} ({index})" for index, text in enumerate(texts)]
    first = [re.sub(r",.*| \(\d+\)$", "", text) for text in texts]
    return tuple(name if first.count(name) == 1 else text for name, text in zip(first, texts, strict=True))


def _of_torchvision(network: nn.Module, name: str) -> Preprocessing:
    weights = imported("torchvision.models", extra="vision").get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    names = tuple(weights.meta["categories"])
    classes = names if heads(network, classes=len(names)) else None
    crop = transforms.crop_size[0]
    return Preprocessing(tuple(transforms.mean), tuple(transforms.std), 3, (crop, crop), classes)


def _of_transformers(network: nn.Module, name: str) -> Preprocessing | None:
    if "/" not in name and not Path(name).is_dir():
        return None
    transformers = imported("transformers", extra="text")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except ImportError:
        imported("torchvision", extra="vision")
        imported("PIL", extra="vision")
        raise
    except Exception as error:  # a hub client's own HTTP exceptions
        raise WeightsError(f"the preprocessing of hf/{name} cannot be loaded: {error}") from error
    configuration: Any = network.get_submodule("model").config
    side = processor.crop_size if getattr(processor, "do_center_crop", False) else processor.size
    height = side.get("height") or side.get("shortest_edge")
    width = side.get("width") or side.get("shortest_edge")
    channels = getattr(configuration, "num_channels", 3)
    labels = tuple(configuration.id2label[index] for index in range(configuration.num_labels))
    named = labels != tuple(f"LABEL_{index}" for index in range(len(labels)))
    mean, std = (_per_channel(values, channels) for values in (processor.image_mean, processor.image_std))
    return Preprocessing(mean, std, channels, (height, width), labels if named else None)


def _per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
