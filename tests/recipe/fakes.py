"""Small settings classes that use every way in which a value can be built."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from limbeck.core.errors import MethodError
from limbeck.core.method import Method
from limbeck.core.settings import settings
from limbeck.recipe.names import METHODS


@settings
class Slow:
    name: Literal["slow"] = "slow"
    rate: Annotated[float, Field(gt=0)] = 0.1


@settings
class Fast:
    name: Literal["fast"] = "fast"
    betas: tuple[float, float] = (0.9, 0.99)


@settings
class Inner:
    count: int = 1
    label: str | None = None


@settings
class Outer:
    needed: int
    inner: Inner = Inner()
    speed: Slow | Fast = Slow()
    maybe: Slow | Fast | None = None
    auto: Inner | Literal["auto", "none"] = "auto"
    speeds: dict[str, Annotated[Slow | Fast, Field(discriminator="name")]] = Field(default_factory=dict)
    method: Annotated[Any, METHODS] = None
    methods: Annotated[tuple[Method, ...], Field(max_length=2)] = ()
    share: float | int | None = None
    words: list[str] = Field(default_factory=list)
    flag: bool = False

    def __post_init__(self) -> None:
        if self.flag and isinstance(self.speed, Slow):
            raise ValueError("flag needs the fast speed")
        if self.share == 13:
            raise MethodError("13 fits nothing")


@settings
class Loud(Method):
    """A method from elsewhere."""

    needs: ClassVar[tuple[type, ...]] = ()
    volume: int = 3


class Bare:
    """No settings at all."""
