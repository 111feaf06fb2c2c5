"""What a function or a layer without weights does to channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx, nn

from limbeck.adapters.widening.tracing import name_of

MULTIPLIES = frozenset({"mul", "imul", "multiply"})
_ADDS = frozenset({"add", "iadd", "sub", "isub", "subtract", "truediv", "itruediv", "div", "maximum", "minimum"})
_TELLS = frozenset({"size", "dim", "ndimension"})
_FACTS = frozenset({"shape", "dtype", "device", "ndim", "training"})

_SAME = frozenset(
    {
        *(
            "relu",
            "relu6",
            "leaky_relu",
            "elu",
            "celu",
            "selu",
            "gelu",
            "silu",
            "mish",
            "hardswish",
            "hardsigmoid",
            "hardtanh",
        ),
        *("sigmoid", "tanh", "softplus", "softsign", "clamp", "clip", "neg", "abs", "exp", "square", "sqrt"),
        *("dropout", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout", "stochastic_depth"),
        *("contiguous", "clone", "float", "half", "to"),
        *("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"),
        *(
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "adaptive_max_pool2d",
            "interpolate",
            "upsample",
        ),
    }
)

_SAME_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Threshold),
    *(nn.Identity, nn.Upsample, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ConstantPad2d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
)

_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


def keeps(node: fx.Node, module: nn.Module | None = None) -> bool:
    """Whether every channel of the result comes from the same channel of the first tensor that goes in.

    Args:
        node: a call.
        module: what it calls, if that is a module.
    """
    if module is not None:
        return _module_keeps(module)
    name, given = name_of(node), [*node.args[1:], *node.kwargs.values()]
    if name in ("view", "reshape"):
        sizes = _sizes(given)
        return bool(like(node)) or (len(sizes) == 2 and sizes[1] == -1)  # images are the first axis
    if name == "flatten":
        return bool(given) and given[0] in (1, -3) and given[1:] in ([], [-1], [3])  # maps; of features, nothing to do
    if name == "unsqueeze":
        return given[0] in (2, 3, -1)
    if name == "getitem":
        return _behind_channels(given[0])
    if name == "pad":
        return isinstance(given[0], tuple | list) and len(given[0]) <= 4  # the last two axes
    if name in ("mean", "sum", "amax", "squeeze"):
        return bool(given) and _on_maps(given[0])
    if name == "pow":
        return not isinstance(given[0], fx.Node)
    return name in _SAME or name == "expand_as"


def _module_keeps(module: nn.Module) -> bool:
    if isinstance(module, nn.PReLU):
        return module.num_parameters == 1  # a slope per channel is a layer with weights
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    return isinstance(module, _SAME_MODULES)


def like(node: fx.Node) -> list[fx.Node]:
    """The tensors whose number of channels a call gives its result: of `expand_as(x)`, of `view(b, c, 1, 1)`."""
    name, given = name_of(node), [*node.args[1:], *node.kwargs.values()]
    if name == "expand_as":
        return [one for one in given if isinstance(one, fx.Node)]
    if name in ("view", "reshape"):
        sizes = _sizes(given)
        images = bool(sizes) and (sizes[0] == -1 or (_length(sizes[0]) or (None, 1))[1] == 0)
        whose, axis = (_length(sizes[1]) if len(sizes) > 1 else None) or (None, None)
        flat = all(size == 1 for size in sizes[2:])  # of maps in rows, a linear layer would take pixels for channels
        return [whose] if whose is not None and axis == 1 and images and flat else []
    return []


def _sizes(given: Sequence[Any]) -> Sequence[Any]:
    return given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given


def _length(size: Any) -> tuple[fx.Node, int] | None:
    """Of `x.size(axis)`, `x.size()[axis]` and `x.shape[axis]`: x and the axis."""
    if not isinstance(size, fx.Node) or len(size.args) != 2 or not isinstance(size.args[1], int):
        return None
    (of, axis), name = size.args, name_of(size)
    if name == "getitem" and isinstance(of, fx.Node) and tells(of):
        of = of.args[0]
    elif name != "size":
        return None
    return (of, axis) if isinstance(of, fx.Node) and isinstance(axis, int) else None


def _behind_channels(index: Any) -> bool:
    """Of `x[index]`: whether it leaves the first two axes alone, as `x[:, :, 0, 0]` and `x[..., None, None]` do."""
    if not isinstance(index, tuple) or not index:
        return False
    whole = slice(None)
    return index[:2] == (whole, whole) or (index[0] is Ellipsis and _on_the_last_two(index[1:]))


def _on_the_last_two(index: tuple[Any, ...]) -> bool:
    """Of `x[..., index]`, x a map: new axes at the end, or one place of the last two."""
    return all(one is None for one in index) or (len(index) == 2 and all(isinstance(one, int) for one in index))


def _on_maps(axes: Any) -> bool:
    return set(axes if isinstance(axes, tuple | list) else [axes]) <= {2, 3, -1, -2}


def joins(node: fx.Node) -> str:
    """The name of an operation that combines tensors channel by channel; empty of any other."""
    name = name_of(node)
    return name if name in _ADDS | MULTIPLIES else ""


def tells(node: fx.Node) -> bool:
    """Whether a call gives a fact about a tensor, such as its shape, and not its values."""
    name = name_of(node)
    return name in _TELLS or name.startswith("assert") or (name == "getattr" and node.args[1] in _FACTS)


def pools(node: fx.Node, module: nn.Module | None = None) -> bool:
    """Whether a call takes the mean over the image."""
    if module is not None:
        return isinstance(module, _POOLS)
    return name_of(node) == "mean" or name_of(node).startswith("adaptive_avg_pool")
