"""Classification networks of torchvision: `torchvision/NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.core.errors import ModelError, WeightsError, close
from limbeck.models.arguments import Interface, check_names, parameters_within, require_none, unexpected_argument
from limbeck.models.heads import replace_head, replace_stem
from limbeck.models.packages import imported

RESERVED = {
    "pretrained": "`pretrained: true` of the network",
    "progress": "`pretrained: true` of the network",
    "weights": "`pretrained: true` of the network, or its `weights: PATH`",
}
COLOURS = 3  # what every classification network of torchvision takes


def build_from_torchvision(
    name: str, arguments: Mapping[str, Any], interface: Interface, *, pretrained: bool
) -> object:
    """Build a network with `torchvision.models.get_model`.

    From scratch it gets the task's classes, a first convolution for the image's channels, and the image's size where
    it has an `image_size`. With published weights it keeps its three channels and gets a fresh classifier unless the
    number of classes is its own.

    Args:
        name: one of torchvision's classification networks.
        arguments: of the network's builder; they win over what the interface would give.
        interface: what the network has to take and to give.
        pretrained: load torchvision's default published weights.

    Raises:
        MissingPackage: torchvision is not installed.
        ModelError: an unknown name, an unknown argument, or one that does not work.
        WeightsError: published weights cannot be loaded.
    """
    models = imported("torchvision.models", extra="vision")
    full = f"torchvision/{name}"
    names = models.list_models(module=models)
    if name not in names:
        raise ModelError(f"torchvision has no classification network {name!r} ({close(name, names)})")
    require_none(full, arguments, RESERVED)
    known = parameters_within(models.get_model_builder(name)) | {"num_classes"}
    check_names(full, arguments, known - RESERVED.keys())
    values: dict[str, Any] = {} if interface.classes is None else {"num_classes": interface.classes}
    if "aux_logits" in known:
        values["aux_logits"] = False  # with them a training step gives a tuple instead of logits
    if pretrained:
        if "transform_input" in known:
            raise ModelError(f"the published weights of {full} preprocess inside the network; take another network")
        return _pretrained(models, name, values | dict(arguments))
    if "image_size" in known:
        if interface.height != interface.width and "image_size" not in arguments:
            raise ModelError(f"{full} takes square images; {interface.height}x{interface.width} came: resize the data")
        values["image_size"] = interface.height
    try:
        network = models.get_model(name, weights=None, **(values | dict(arguments)))
    except TypeError as error:
        raise unexpected_argument(full, error, known - RESERVED.keys()) from error
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ModelError(f"{full} cannot be built with {values | dict(arguments)}: {error}") from error
    if interface.channels != COLOURS:
        replace_stem(network, channels=interface.channels)
    return network


def _pretrained(models: Any, name: str, values: dict[str, Any]) -> object:
    weights = models.get_model_weights(name).DEFAULT
    published = len(weights.meta["categories"])
    wanted = values.pop("num_classes", published)
    try:
        # torchvision unpickles its download without restrictions; reading it once as plain tensors before that
        # refuses a file that would run code, whoever put it into the cache.
        weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        network = models.get_model(name, weights=weights, progress=False, **values)
    except TypeError as error:
        raise unexpected_argument(f"torchvision/{name}", error, values) from error
    except Exception as error:
        raise WeightsError(f"the published weights of torchvision/{name} cannot be loaded: {error}") from error
    if wanted != published:
        replace_head(network, before=published, after=wanted)
    return network
