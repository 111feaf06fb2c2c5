"""A network as a graph of layers and functions, and the one error for what cannot be widened."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from jaxtyping import config
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from limbeck.core.errors import MethodError

LAYERS = (_ConvNd, _BatchNorm, nn.Linear, nn.PReLU)
"""What holds weights, subclasses included: their code runs as it is, on slices of the weights."""


def traced(network: nn.Module) -> fx.Graph:
    """The graph of a network's calls in eval mode, with its optional arguments at their defaults.

    Raises:
        MethodError: the network cannot be traced, as when what it does depends on the values of its features.
    """
    modes = [(module, module.training) for module in network.modules()]
    checking = config.jaxtyping_disable
    parameters = inspect.signature(network.forward).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    try:
        network.eval()
        config.update("jaxtyping_disable", True)  # where annotations are checked, a proxy is no tensor
        return _Tracer().trace(network, concrete_args=defaults)
    except MethodError:
        raise
    except Exception as error:  # whatever the network's own code raises when it meets a proxy instead of a tensor
        raise refusal(network, "", f"torch.fx cannot trace it ({_first_line(error)})") from error
    finally:
        config.update("jaxtyping_disable", checking)
        for module, mode in modes:
            module.training = mode


class _Tracer(fx.Tracer):
    """Stops at layers; an error inside a module names that module."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return isinstance(module, LAYERS) or super().is_leaf_module(module, path)

    def call_module(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(module, forward, args, kwargs)
        except MethodError:
            raise
        except Exception as error:  # as above
            why = f"torch.fx cannot trace it ({_first_line(error)})"
            raise refusal(self.root, self.path_of_module(module), why) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].partition(". ")[0] if lines else type(error).__name__


def refusal(network: Any, path: str, why: str) -> MethodError:
    """The error for a network that cannot be widened.

    Args:
        network: the whole.
        path: of the module where it fails; empty = the network itself.
        why: what is wrong there.
    """
    where = f"module {path!r} ({type(network.get_submodule(path)).__name__})" if path else "its forward"
    return MethodError(
        f"{type(network).__name__} cannot be widened: {where}: {why}. Give the student a network of convolutions "
        "(ordinary or depthwise), BatchNorm, linear layers, squeeze-and-excite, activations, pooling and residual "
        "additions, such as mobilenetv2 or resnet20"
    )


def module_of(node: fx.Node) -> str:
    """The path of the module in whose forward a node was made; empty = the network's own."""
    if node.op == "call_module":
        return str(node.target)
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def name_of(node: fx.Node) -> str:
    """The name of a node's function or method, without the underscore of its in-place version."""
    name = _NAMED.get(node.target) or str(getattr(node.target, "__name__", node.target))
    return name.strip("_")


_NAMED: dict[Any, str] = {
    # torch hides these behind one wrapper whose name is not theirs
    F.max_pool2d: "max_pool2d",
    F.adaptive_max_pool2d: "adaptive_max_pool2d",
    F.fractional_max_pool2d: "fractional_max_pool2d",
}
