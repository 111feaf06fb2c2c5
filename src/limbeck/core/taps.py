"""Taps: reading tensors inside a network by module path, without changing the network.

A tap path is a module path as in `named_modules()`, with two optional suffixes:

    layer2.0.conv1           the module's output (the first item, when the output is a tuple)
    layer2.0.conv1#1         the item with index 1 of the output
    layer2.0.conv1:input     the module's first positional input (`:input#1` the second)

Hooks are installed once, when the taps are made, and so before any `torch.compile`: a hook that is added after the
first compiled call is silently ignored. They record only between `start` and `stop`, so that evaluation, generation and
a second network sharing the same modules leave nothing behind. A module that runs several times in one pass is recorded
at its last run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.core.bridge import inner
from limbeck.core.errors import TapError, close


@dataclass(frozen=True)
class TapPath:
    """A parsed tap path."""

    text: str
    module: str
    takes_input: bool
    index: int

    @classmethod
    def parse(cls, text: str) -> TapPath:
        """Read `module`, `module#i`, `module:input` or `module:input#i`; raises TapError for anything else."""
        rest, mark, number = text.partition("#")
        module, colon, side = rest.partition(":")
        if (mark and not number.isdigit()) or (colon and side != "input"):
            raise TapError(f"tap {text!r}: expected 'module', 'module#1', 'module:input' or 'module:input#1'")
        return cls(text, module, bool(colon), int(number) if mark else 0)


class StopAtTap(Exception):
    """Raised by a hook to leave a forward pass early; never leaves `Net.forward`."""


class Taps:
    """The hooks on one network, and how many passes they have seen (`passes`).

    Args:
        model: the network; a `Bridge` around it is looked through.
        paths: tap paths.

    Raises:
        TapError: a path names no module; the message lists close names.
    """

    def __init__(self, model: nn.Module, paths: Iterable[str]) -> None:
        network = inner(model)
        modules = dict(network.named_modules())
        self.passes = 0
        self._recording = False
        self._until: str | None = None
        self._seen: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._runs: dict[str, int] = {}
        self._usual: dict[str, int] = {}
        self.paths = tuple(dict.fromkeys(paths))
        taps = [TapPath.parse(path) for path in self.paths]
        for tap in taps:
            if tap.module not in modules or not tap.module:
                hint = close(tap.module, [name for name in modules if name])
                raise TapError(f"tap {tap.text!r} is not a module of {type(network).__name__}; {hint}")
        self._handles = [self._install(modules[tap.module], tap) for tap in taps]

    def _install(self, module: nn.Module, tap: TapPath) -> Any:
        if tap.takes_input:
            return module.register_forward_pre_hook(lambda _module, inputs: self._record(tap, inputs))
        return module.register_forward_hook(lambda _module, _inputs, output: self._record(tap, output))

    def _record(self, tap: TapPath, value: Any) -> None:
        if not self._recording:
            return
        items = value if isinstance(value, (tuple, list)) else (value,)
        if tap.index >= len(items) or not isinstance(items[tap.index], Tensor):
            came = f"{len(items)} item(s) of type {', '.join(type(item).__name__ for item in items)}"
            if not items:
                came = "nothing but keywords" if tap.takes_input else "nothing"
            verb = "got" if tap.takes_input else "gave"
            raise TapError(f"tap {tap.text!r}: expected a tensor at index {tap.index}, the module {verb} {came}")
        tensor = items[tap.index]
        self._seen.pop(tap.text, None)  # of a module that runs several times the last run counts, in the order too
        self._seen[tap.text] = tensor
        self._versions[tap.text] = tensor._version
        self._runs[tap.text] = self._runs.get(tap.text, 0) + 1
        if self._until == tap.text and self._runs[tap.text] >= self._usual.get(tap.text, 1):
            raise StopAtTap

    def start(self, until: str | None = None) -> None:
        """Record from now on; with `until`, the hook of that tap raises `StopAtTap`."""
        self.check(until)
        self.passes += 1
        self._seen, self._versions, self._runs, self._until, self._recording = {}, {}, {}, until, True

    def check(self, until: str | None) -> None:
        """Raise TapError unless a pass can stop there."""
        if until is not None and until not in self.paths:
            raise TapError(f"until {until!r} is not a tap of this network; {close(until, self.paths)}")

    def stop(self) -> dict[str, Tensor]:
        """Stop recording and hand over what was recorded."""
        seen, self._seen, self._until, self._recording = self._seen, {}, None, False
        return seen

    def remember_runs(self) -> None:
        """A whole pass was just recorded: a pass `until` a module that runs several times stops at its last run too."""
        self._usual = dict(self._runs)

    def check_unchanged(self, seen: dict[str, Tensor]) -> None:
        """Compare version counters with those at recording time. Eager mode only: compiled code has no such counters.

        Raises:
            TapError: a later module changed a tapped tensor in place, so a loss on it would see something else.
        """
        for path, tensor in seen.items():
            if tensor._version != self._versions[path]:
                raise TapError(
                    f"tap {path!r}: a later module changes this tensor in place (inplace=True, or +=), so its recorded "
                    "value is lost. Tap the module that makes the change, or build the network with inplace=False."
                )

    def close(self) -> None:
        """Remove all hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
