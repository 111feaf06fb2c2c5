"""One network in one role."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.taps import StopAtTap, TapPath, Taps


class Kind(StrEnum):
    """How a role's network is treated.

    TRAINED: by the optimiser. In a turn that trains none of its parameters it is a guest: train mode, no gradient, and
    its buffers do not move. FROZEN: eval mode, no gradient, not in checkpoints. MOMENTUM: train mode, no gradient,
    changed by the method's `after_step`.
    """

    TRAINED = "trained"
    FROZEN = "frozen"
    MOMENTUM = "momentum"


class Served(Protocol):
    """Forward passes of a frozen network that were recorded earlier."""

    def now(self, batch: Any, step: int) -> None:
        """Say which batch of the data is current, and the step over all stages that it belongs to."""

    def __call__(self, batch: Any, *, until: str | None = None) -> ForwardPass | None:
        """The pass on a batch; `None` unless it is the current one, unaltered."""


class Net(nn.Module):
    """A network, its taps, and the memory of what it gave on the current batch.

    Within one forward of the distiller a network runs once per (batch object, `until`), however many terms ask. An
    altered batch is another object, and so runs again.

    A frozen network may have recorded passes, `served`: they answer for the batches of the data as they came, and the
    network runs for all others, and where gradient must pass through it.

    Args:
        model: the network.
        run: `run(model, batch)`, from the task.
        taps: tap paths.
        kind: trained, frozen or momentum.
    """

    def __init__(
        self, model: nn.Module, run: Callable[[nn.Module, Any], Any], *, taps: Iterable[str] = (), kind: Kind
    ) -> None:
        super().__init__()
        self._before = [(module, module.training) for module in model.modules()]
        self._required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        self.model = model
        self.kind = kind
        self.guest = False
        self.served: Served | None = None
        self.output_shape: tuple[int, ...] | None = None
        """Of the output on the example, if it is a tensor."""
        self.input_shape: tuple[int, ...] = ()
        """Of the first tensor that the network was given there, after its preprocessing; empty if there was none."""
        self._run = run
        self._compiled: tuple[Any, ...] = ()  # a tuple hides it from torch, which would take it for a submodule
        self._taps = Taps(model, taps)
        self._memo: list[tuple[Any, str | None, bool, ForwardPass]] = []
        if kind is not Kind.TRAINED:
            model.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Net:
        """As in torch, except that a frozen network stays in eval mode whatever its wrapper is put in."""
        return super().train(mode and self.kind is not Kind.FROZEN)

    def forward(self, batch: Any, *, until: str | None = None) -> ForwardPass:
        """Run on a batch, or remember.

        Args:
            batch: whatever the task understands.
            until: a tap of this network; the pass stops there and its output is `None`.

        Raises:
            MethodError: the network normalises over the batch, and this one is too small for that.
        """
        quiet = self._quiet(batch)
        for known, reached, detached, forward_pass in self._memo:
            # A pass that one term took under `no_grad` must not serve another term that trains on it.
            if known is batch and reached in (None, until) and (quiet or not detached):
                return forward_pass
        stored = self._stored(batch, until) if quiet else None
        forward_pass = stored or self._pass(batch, until, quiet=quiet)
        self._memo.append((batch, until, quiet, forward_pass))
        return forward_pass

    def _quiet(self, batch: Any) -> bool:
        if not torch.is_grad_enabled():
            return True
        return (self.kind is not Kind.TRAINED or self.guest) and not _carries_gradient(batch)

    def _stored(self, batch: Any, until: str | None) -> ForwardPass | None:
        if self.served is None or self.kind is not Kind.FROZEN:
            return None
        self._taps.check(until)
        return self.served(batch, until=until)

    @property
    def calls(self) -> int:
        """How often the network ran; the probe does not count."""
        return self._taps.passes

    @property
    def taps(self) -> tuple[str, ...]:
        """The tap paths."""
        return self._taps.paths

    def _pass(self, batch: Any, until: str | None, *, quiet: bool) -> ForwardPass:
        self._taps.start(until)
        output = None
        try:
            with torch.no_grad() if quiet else nullcontext(), still(self.model) if self.guest else nullcontext():
                output = self._run(self._compiled[0] if self._compiled else self.model, batch)
        except StopAtTap:
            pass
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):  # torch has no error class of its own for it
                raise
            raise MethodError(
                f"BatchNorm in {type(inner(self.model)).__name__} needs a batch of at least 2 to train on ({error}); "
                "set a larger data.batch, or drop_last=True of a DataLoader whose last batch has one sample"
            ) from error
        finally:
            seen = self._taps.stop()
        return ForwardPass(output, seen)

    def at(self, tap: str) -> nn.Module:
        """The module at a tap path."""
        return inner(self.model).get_submodule(TapPath.parse(tap).module)

    def probe(self, batch: Any) -> ForwardPass:
        """One pass in eval mode without gradient, outside the memory, that checks the taps for in-place changes."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        hook = inner(self.model).register_forward_pre_hook(self._remember_input, with_kwargs=True)
        try:
            forward_pass = self._pass(batch, None, quiet=True)
            self._taps.check_unchanged(dict(forward_pass.taps))
            self._taps.remember_runs()
            self.output_shape = _shape_of(forward_pass.output)
        finally:
            hook.remove()
            for module, mode in modes:
                module.training = mode
            self._taps.passes -= 1
        return forward_pass

    def _remember_input(self, _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        tensors = (item for item in (*inputs, *named.values()) if isinstance(item, Tensor))
        self.input_shape = next((tuple(tensor.shape) for tensor in tensors), ())

    @contextmanager
    def compiled(self, *, mode: str | None = None) -> Iterator[None]:
        """Training passes go through `torch.compile`; evaluations of the network by others do not.

        Args:
            mode: of `torch.compile`.
        """
        self._compiled = (torch.compile(self.model, mode=mode),)
        try:
            yield
        finally:
            self._compiled = ()

    def forget(self) -> None:
        """Empty the memory, so that the batch and the graph can be freed."""
        self._memo.clear()

    def close(self) -> None:
        """Remove hooks and stored passes; give a network that was not trained its mode and its `requires_grad` back."""
        self._taps.close()
        self.served = None
        self.forget()
        if self.kind is not Kind.TRAINED:
            for module, mode in self._before:
                module.training = mode
            for parameter, required in self._required:
                parameter.requires_grad_(required)


def _shape_of(output: Any) -> tuple[int, ...] | None:
    return tuple(output.shape) if isinstance(output, Tensor) else None


def _carries_gradient(batch: Any) -> bool:
    """Whether gradient must pass *through* a network that is not trained, as for generated inputs."""
    return any(tensor.requires_grad for tensor in tensors_in(batch))


def tensors_in(batch: Any) -> list[Tensor]:
    """The tensors of a batch, however it is nested."""
    if isinstance(batch, tuple) and all(isinstance(item, Tensor) for item in batch):
        return list(batch)  # the usual batch, without the cost of looking for nested ones
    return [leaf for leaf in _pytree.tree_leaves(batch) if isinstance(leaf, Tensor)]


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Run in train mode while running statistics (and any other buffer) end as they were.

    The model works on copies: writing the old values back instead would break a backward pass through the model, which
    may have saved its buffers.
    """
    places = [(m, name, buffer) for m in model.modules() for name, buffer in m._buffers.items() if buffer is not None]
    copies = {id(buffer): buffer.clone() for _, _, buffer in places}
    for module, name, buffer in places:
        module._buffers[name] = copies[id(buffer)]
    try:
        yield
    finally:
        for module, name, buffer in places:
            module._buffers[name] = buffer


def held(module: nn.Module) -> Callable[..., Any]:
    """The module as a function whose own parameters take no gradient, such as a critic inside the student's terms."""
    fixed = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return lambda *inputs: torch.func.functional_call(module, fixed, inputs)


def digest(module: nn.Module) -> str:
    """A SHA-256 over the names, types, shapes and bytes of all parameters and buffers."""
    total = hashlib.sha256()
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        total.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return total.hexdigest()
