"""Networks of timm: `timm/NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.core.errors import ModelError, WeightsError, close
from limbeck.models.arguments import Interface, parameters_within, require_none, unexpected_argument
from limbeck.models.packages import imported

HUBS = ("hf-hub:", "hf_hub:", "local-dir:")
RESERVED = {"checkpoint_path": "`weights: PATH`", "pretrained": "`pretrained: true` of the network"}


def build_from_timm(name: str, arguments: Mapping[str, Any], interface: Interface, *, pretrained: bool) -> object:
    """Build a network with `timm.create_model`.

    From scratch it gets the task's classes and channels, and the image's size where the family has a fixed one
    (transformers, mixers). With published weights it keeps its own channels and size (`preprocessing_of` tells them)
    and gets a fresh classifier unless the number of classes is its own.

    Args:
        name: with or without timm's tag, e.g. `resnet18.a1_in1k`, or one of timm's hub schemes.
        arguments: of `timm.create_model`; they win over what the interface would give.
        interface: what the network has to take and to give.
        pretrained: load timm's published weights.

    Raises:
        MissingPackage: timm is not installed.
        ModelError: an unknown name, an unknown argument, or one that does not work.
        WeightsError: published weights do not exist or cannot be loaded.
    """
    timm = imported("timm", extra="vision")
    full = f"timm/{name}"
    from_hub = name.startswith(HUBS)
    if not from_hub and not timm.is_model(name):
        raise ModelError(f"timm has no network {name!r} ({close(name, timm.list_models())})")
    if pretrained and not from_hub and not timm.is_model_pretrained(name):
        raise WeightsError(f"timm publishes no weights for {name!r}; leave `pretrained` out, or give `weights: PATH`")
    require_none(full, arguments, RESERVED)
    known = set() if from_hub else parameters_within(timm.model_entrypoint(name))
    values: dict[str, Any] = {} if interface.classes is None else {"num_classes": interface.classes}
    if not pretrained and not from_hub:
        values["in_chans"] = interface.channels
        if timm.get_pretrained_cfg(name).fixed_input_size and "img_size" in known:
            values["img_size"] = (interface.height, interface.width)
    try:
        return timm.create_model(name, pretrained=pretrained, **(values | dict(arguments)))
    except TypeError as error:
        raise unexpected_argument(full, error, known) from error
    except Exception as error:
        # hub clients raise exceptions of whatever HTTP library they use, so there is no narrower class
        if pretrained or from_hub:
            raise WeightsError(f"the published weights of {full} cannot be loaded: {error}") from error
        raise ModelError(f"{full} cannot be built with {values | dict(arguments)}: {error}") from error
