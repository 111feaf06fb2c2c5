"""Several networks that answer as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.core.assembled import Assembled
from limbeck.losses.divergence import mean_distribution


class Ensemble(Assembled):
    """The mean of several networks' class distributions.

    Args:
        members: networks with the same classes in the same order.
        mean: arithmetic (mean of softmaxes) or geometric (mean of logits, renormalised).
        temperature: the arithmetic mean is that of the distributions softened at this temperature, so a distiller
            that softens the result at the same temperature teaches exactly the mean.
    """

    def __init__(
        self,
        members: Iterable[nn.Module],
        *,
        mean: Literal["arithmetic", "geometric"] = "arithmetic",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.mean = mean
        self.temperature = temperature

    def forward(self, images: Tensor) -> Float[Tensor, "b c"]:
        """Logits of the mean distribution."""
        return mean_distribution([m(images) for m in self.members], temperature=self.temperature, mean=self.mean)

    def parts(self) -> Mapping[str, nn.Module]:
        """The members, by number."""
        return {str(number): member for number, member in enumerate(self.members)}

    def representative(self) -> nn.Module:
        """The first member."""
        return self.members[0]

    def facts(self) -> dict[str, Any]:
        """The kind of mean."""
        return {"mean": self.mean, "temperature": self.temperature}

    @classmethod
    def assemble(cls, parts: Mapping[str, nn.Module], example: Tensor, **facts: Any) -> Ensemble:
        """The same mean of networks built anew."""
        return cls(parts.values(), **facts)

    def at(self, temperature: float) -> Ensemble:
        """The same members, averaged at another temperature."""
        return Ensemble(self.members, mean=self.mean, temperature=temperature)


def with_teacher_at(temperature: float, models: Mapping[str, nn.Module]) -> Mapping[str, nn.Module]:
    """The networks by role, with a teacher that is an ensemble averaged at the temperature at which it teaches."""
    teacher = models.get("teacher")
    return {**models, "teacher": teacher.at(temperature)} if isinstance(teacher, Ensemble) else models
