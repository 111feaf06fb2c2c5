"""A network that can answer before its end.

Heads stand at modules inside the network, shallow before deep. With `answer="early"` a sample leaves at the first head
that is sure of it: Zhang et al., "Be Your Own Teacher", arXiv:1905.08094; the rule is BranchyNet's (Teerapittayanon
et al., arXiv:1709.01686) with the largest probability in place of the entropy. The batch shrinks at each head, so what
follows works on the samples that are left, and a pass in which none is left ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from jaxtyping import config as checks
from torch import Tensor, nn

from limbeck.adapters.exit_head import ExitHead
from limbeck.adapters.exit_thresholds import NEVER, Costs, confidence
from limbeck.core.assembled import Assembled
from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError, TapError, close
from limbeck.core.mode import evaluating
from limbeck.core.operations import operations

Answer = Literal["early", "ensemble"]


class Exits(Assembled):
    """A network with heads.

    Whether a network can answer early is found by `limbeck.adapters.exit_check.check_exits`, which runs an example.

    Args:
        network: images to logits; with a bridge or without. Taps are paths of the network inside the bridge.
        heads: one per tap; they give the classes that the bridge gives.
        at: module paths, in the order in which a pass reaches them.
        answer: `early`: each sample is answered by the first head whose largest probability reaches that exit's
            threshold, or else by the network's own end; `ensemble`: the mean of the logits of all heads and the end.
        thresholds: one per head; absent = `NEVER`: a head that nobody can leave at is not computed. They are a buffer,
            so they are saved with the weights.

    Raises:
        TapError: a path names no module.
        MethodError: there are not as many heads, or thresholds, as taps.
    """

    thresholds: Tensor

    def __init__(
        self,
        network: nn.Module,
        heads: Sequence[ExitHead],
        *,
        at: Sequence[str],
        answer: Answer = "early",
        thresholds: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        values = [NEVER] * len(at) if thresholds is None else list(thresholds)
        if not len(at) == len(heads) == len(values):
            raise MethodError(
                f"expected a head and a threshold per tap, got {len(heads)} heads and {len(values)} thresholds for "
                f"{len(at)} taps"
            )
        modules_at(network, at)
        self.network = network
        self.heads = nn.ModuleList(heads)
        self.at = tuple(at)
        self.answer = answer
        self.register_buffer("thresholds", torch.tensor(values, dtype=torch.float32))

    @property
    def leaves_early(self) -> bool:
        """Unless all classifiers are asked."""
        return self.answer == "early"

    def representative(self) -> nn.Module:
        """The network: layers are looked for there, and not in heads."""
        return self.network

    def forward(self, images: Tensor) -> Float[Tensor, "b c"]:
        """The logits of each sample, from wherever it was answered."""
        if self.answer == "ensemble":
            return torch.stack(self.logits_of_all(images)).mean(0)
        departures = _Departures(self, images)
        with shrinking(), self._watched(departures.leave, departures.open):
            return departures.answers(self.network)

    def logits_of_all(self, images: Tensor) -> list[Float[Tensor, "b c"]]:
        """The logits of every head, closed ones too, shallow before deep, and of the end of the network."""
        seen: dict[int, Tensor] = {}
        with self._watched(seen.__setitem__, range(len(self.at))):
            last = self.network(images)
        return [*(head(seen[number])[1] for number, head in enumerate(self.heads)), last]

    @contextmanager
    def _watched(self, call: Callable[[int, Tensor], Any], numbers: Sequence[int]) -> Iterator[None]:
        """Hooks at some taps for one pass only, so that the network is its user's own again afterwards."""
        modules = modules_at(self.network, self.at)
        handles = [
            modules[number].register_forward_hook(lambda _module, _inputs, output, number=number: call(number, output))
            for number in numbers
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def costs(self, run: Callable[[nn.Module], Any]) -> Costs:
        """The operations up to each tap, of the whole network, and of each head.

        Args:
            run: runs a network on an example; the costs are for all of it. Modes are restored.
        """
        seen: dict[int, Tensor] = {}
        with evaluating(self):
            with self._watched(seen.__setitem__, range(len(self.at))):
                whole = operations(partial(run, self.network))
            trunk = [operations(partial(self._until, number, run)) for number in range(len(self.at))]
            heads = [operations(partial(head, seen[number])) for number, head in enumerate(self.heads)]
        return Costs(trunk=(*trunk, whole), heads=tuple(heads))

    def _until(self, number: int, run: Callable[[nn.Module], Any]) -> None:
        with self._watched(_stop, [number]), suppress(_NobodyIsLeft):
            run(self.network)

    def parts(self) -> Mapping[str, nn.Module]:
        """The network."""
        return {"network": self.network}

    def facts(self) -> dict[str, Any]:
        """Where the heads stand, what they are, and how the network answers; thresholds are among the weights."""
        heads = [head.facts() for head in self.heads if isinstance(head, ExitHead)]
        return {"at": list(self.at), "answer": self.answer, "heads": heads}

    @classmethod
    def assemble(cls, parts: Mapping[str, nn.Module], example: Tensor, **facts: Any) -> Exits:
        """The network with new heads of the same form."""
        heads = [ExitHead(**head) for head in facts["heads"]]
        return cls(parts["network"], heads, at=facts["at"], answer=facts["answer"])


class _NobodyIsLeft(Exception):
    """Raised by a hook to end a pass; never leaves this file."""


def _stop(_number: int, _output: Tensor) -> None:
    raise _NobodyIsLeft


class _Departures:
    """One pass: which samples of the batch are still in it, and what was answered to the others."""

    def __init__(self, exits: Exits, images: Tensor) -> None:
        self._heads, self._images = exits.heads, images
        self._thresholds = exits.thresholds.tolist()
        self.open = [number for number, value in enumerate(self._thresholds) if value < NEVER]
        self._places = torch.arange(len(images), device=images.device)
        self._answered: list[tuple[Tensor, Tensor]] = []

    def leave(self, number: int, features: Tensor) -> Tensor | None:
        """Keep the answers of an exit; the features of the samples that go on, or None if all do."""
        logits = self._heads[number](features)[1]
        leaves = confidence(logits) >= self._thresholds[number]
        count = int(leaves.sum())
        if not count:
            return None
        if count == len(self._places):
            self._answered.append((self._places, logits))
            raise _NobodyIsLeft
        self._answered.append((self._places[leaves], logits[leaves]))
        self._places = self._places[~leaves]
        return features[~leaves]

    def answers(self, network: nn.Module) -> Float[Tensor, "b c"]:
        """Run the network and put everybody's answer at the sample's place."""
        with suppress(_NobodyIsLeft):
            last = network(self._images)  # after which the places are those of who is left
            self._answered.append((self._places, last))
        places, logits = zip(*self._answered, strict=True)
        return logits[0] if len(logits) == 1 else torch.cat(logits)[torch.cat(places).argsort()]


class AllAnswers(nn.Module):
    """A network with exits as one that gives the logits of all heads and of its end, for a task to run on batches.

    They lie side by side in one row per sample; `unflatten(1, (classifiers, -1))` parts them.
    """

    def __init__(self, exits: Exits) -> None:
        super().__init__()
        self.exits = exits

    def forward(self, images: Tensor) -> Float[Tensor, "b n"]:
        """Shallow before deep, the end last."""
        return torch.cat(self.exits.logits_of_all(images), dim=1)


@contextmanager
def shrinking() -> Iterator[None]:
    """A pass in which samples leave: nobody who executes annotations expects as many answers as images meanwhile."""
    before = checks.jaxtyping_disable
    checks.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        checks.update("jaxtyping_disable", before)


def modules_at(network: nn.Module, at: Sequence[str]) -> list[nn.Module]:
    """The modules at these paths of the network inside its bridge; raises TapError for a path that names none."""
    own = inner(network)
    return [_module_at(own, path) for path in at]


def _module_at(own: nn.Module, path: str) -> nn.Module:
    try:
        if path:
            return own.get_submodule(path)
    except AttributeError:
        pass
    hint = close(path, [name for name, _ in own.named_modules() if name])
    raise TapError(f"exit at {path!r}: not a module of {type(own).__name__}; {hint}")
