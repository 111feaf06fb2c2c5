"""A method: hyper-parameters, and pure functions from networks seen on a batch to named, weighted loss terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from limbeck.core.net import Kind, Net
from limbeck.core.plan import At, Stage
from limbeck.core.settings import settings


class Shape(tuple[int, ...]):
    """The shape of a tapped tensor on the example batch.

    `nonnegative`: none of its values there is below zero. `given`: the shape of what the network was given, empty if it
    is not known.
    """

    nonnegative: bool
    given: tuple[int, ...] = ()

    @classmethod
    def of(cls, tensor: Tensor, *, given: tuple[int, ...] = ()) -> Shape:
        """The shape of a tensor."""
        shape = cls(tensor.shape)
        shape.nonnegative = bool((tensor >= 0).all())
        shape.given = given
        return shape

    @property
    def image(self) -> tuple[int, int] | None:
        """Height and width of the images that the network was given; absent if it was given something else."""
        return (self.given[2], self.given[3]) if len(self.given) == 4 else None


Shapes = Mapping[str, Mapping[str, Shape]]
"""role -> tap path -> shape on the example batch, in the order in which a pass reaches the taps."""


@runtime_checkable
class Nets(Protocol):
    """What a method sees of the distiller."""

    @property
    def task(self) -> Any:
        """The task."""

    @property
    def adapters(self) -> Any:
        """The modules that the method created, by name: `nets.adapters["regressor"]`."""

    def __getitem__(self, role: str) -> Net:
        """The network in a role."""

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensor of all processes along its first axis, with gradient; the tensor itself on one process."""

    def observe(self, name: str, value: Tensor) -> None:
        """Record a number beside the loss terms; it is no part of the objective."""

    def reorder(self, tensor: Tensor, axis: int, order: Tensor) -> None:
        """Permute a parameter or buffer along an axis, and whatever an optimiser remembers of it."""


@settings
class Method:
    """Base of all methods. Subclasses are `@settings` classes: frozen, keyword-only, closed, checked however built.

    A method holds no state and sees no optimiser. What it needs beyond its hyper-parameters it creates in `networks`
    and `adapters`, and finds again in `nets`.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    """Capabilities of the task, such as `(HasRows,)`; a missing one is an error before training."""

    trains: ClassVar[bool] = True
    """Whether anything is trained; if not, every network must come with its weights."""

    composable: ClassVar[bool] = True
    """Whether the student's output is an answer to its batch, so that other methods can share its pass."""

    def capabilities(self) -> tuple[type, ...]:
        """The capabilities that this method, with its hyper-parameters, asks of the task."""
        return self.needs

    def roles(self) -> Mapping[str, Kind]:
        """Role -> kind of treatment. May depend on hyper-parameters."""
        return {"student": Kind.TRAINED, "teacher": Kind.FROZEN}

    def alike(self) -> Mapping[str, str]:
        """Role -> the role whose kind of network it gets in a recipe that gives it none; with weights of its own."""
        return {}

    def made(self) -> Set[str]:
        """The roles whose networks the method makes itself, in `networks`; none can be given for them."""
        return frozenset()

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """The method with decided what it leaves open (`taps: auto`), by a look at the networks; mostly itself.

        Args:
            models: role -> network, as given.
            run: runs a network on the example batch.
        """
        return self

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """The network of each role, from the models given; `run(model)` runs a model on the example batch."""
        return models

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """Role -> tap paths."""
        return {}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """Modules that the method trains beside its networks, made from probed shapes: no channel count is typed."""
        return {}

    def plan(self) -> Sequence[Stage]:
        """The stages of training."""
        return (Stage(),)

    def looks_at(self) -> Set[str]:
        """Which of `step`, `epoch`, `fraction` and `rng` of `At` decide its terms; a loop has to give those."""
        return frozenset()

    def linear_at(self, role: str) -> float | None:
        """The temperature T at which the terms are linear in a frozen network's distribution softmax(output / T).

        So is the cross-entropy, or KL divergence, from teacher to student: an unbiased sample of the distribution then
        gives an unbiased gradient. `None` = some term uses the output in another way, or at a second temperature.
        """
        return None

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """The loss terms of the default turn; the objective is their sum. The label term is always called `task`.

        Before a training from a recipe the first step of every stage is tried on a few samples.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no terms")

    def after_step(self, nets: Nets, at: At) -> None:
        """Called once per step after its last turn: momentum networks, queues."""

    def uses_unlabelled(self) -> bool:
        """Whether samples without a label teach anything; if not, training runs over the labelled ones only."""
        return True

    def needs_labels(self) -> bool:
        """Whether nothing but labels teaches the student what to answer; without any, training is refused.

        By default so where unlabelled samples teach nothing, and where no frozen network teaches.
        """
        return not self.uses_unlabelled() or Kind.FROZEN not in self.roles().values()

    def compilable(self) -> bool:
        """Whether a network computes the same in every step, so that compiling it pays."""
        return True

    def uses_validation(self) -> bool:
        """Whether `deliver` looks at the validation split; data without one is then an error before training."""
        return False

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """What is evaluated, selected and exported: no adapter, no teacher.

        It is a role's network, or one whose weights have the names and shapes of a network as it was given, or an
        `Assembled`, which says what it is made of: others cannot be built again from their file.

        Args:
            nets: the distiller.
            train: training batches, endless; empty when only the kind of network matters.
            validation: batches of the validation split, as often as asked for; empty if there is none.
        """
        return nets["student"].model
