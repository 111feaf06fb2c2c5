"""Settings: what a user may choose, as frozen and checked dataclasses.

A class decorated with `settings` is a pydantic dataclass: immutable, keyword-only, validated however it is built
(from Python or from a recipe), and closed: an unknown key is an error, and so is a number that is not finite. There
is no second class that describes it.
"""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar, cast, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field

Settings = TypeVar("Settings")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def settings(cls: type[Settings]) -> type[Settings]:
    """Make a class of annotated fields a frozen, keyword-only, validated dataclass that refuses unknown keys."""
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
    made = pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=config)
    return cast(type[Settings], made)
