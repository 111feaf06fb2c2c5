"""Write docs/recipe.md: every key of a recipe with its default and meaning, from the classes that read it.

A test compares the page with this script.

    python docs/make_recipe.py
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from limbeck.data import DATA
from limbeck.data.augment import Augment
from limbeck.data.source import ImageData
from limbeck.data.special import Confused, Special
from limbeck.models import ZOO
from limbeck.recipe.models import Ensemble, From, Network, Normalize, Specialists
from limbeck.recipe.schema import Evaluate, Recipe
from limbeck.tasks.classification import Classification
from limbeck.train.settings import (
    LAMB,
    LARS,
    SGD,
    Adam,
    AdamW,
    Cached,
    Constant,
    Cosine,
    Linear,
    Live,
    RMSprop,
    Step,
    Train,
)

PAGE = Path(__file__).parent / "recipe.md"
HEAD = """\
# Keys of a recipe

What every key means and what stands for it where it is left out. A name alone is short for a mapping with nothing but
that name: `optimizer: adamw` is `optimizer: {name: adamw}`. Keys of methods are in [methods.md](methods.md). This page
is made from the classes' docstrings by `docs/make_recipe.py`; `limbeck schema` prints the same for editors, with types
and ranges.
"""
EXTENDS = (
    "| `extends` | – | another recipe, by path or shipped name, from which everything is taken that is not said here |"
)


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join((HEAD, *_recipe(), *_data(), *_models(), *_train())).rstrip() + "\n"


def _recipe() -> Iterator[str]:
    yield from ("## The recipe", "", *_table(Recipe)[:-1], EXTENDS, "")
    yield from ("### task", "", "`classification`, the only one so far.", "", *_table(Classification))
    yield from ("### evaluate", "", *_table(Evaluate))


def _data() -> Iterator[str]:
    yield from ("## data", "", "Keys of every data set; those of each set follow.", "", *_table(ImageData))
    for name, place in DATA.items():
        cls = _load("limbeck.data", place)
        yield from (f"### data: {name}", "", *_prose(cls), *_table(cls, without=ImageData))
    for key, cls in (("augment", Augment), ("special", Special), ("special.classes", Confused)):
        yield from (f"### data.{key}", "", *_prose(cls), *_table(cls))


def _models() -> Iterator[str]:
    yield from ("## models", "", "A role (`student`, `teacher`, `peer1`, …) and its network, in one of four forms.", "")
    for cls in (Network, From, Ensemble, Specialists):
        yield from (f"### {_title(cls)}", "", *_table(cls))
    yield from ("### normalize", "", *_prose(Normalize), *_table(Normalize))
    yield from ("### limbeck's own networks", "")
    yield from ("Others are `timm/NAME`, `torchvision/NAME`, `hf/NAME` and `package.module:Name`.", "")
    yield from ("| name | network | its own keys |", "|---|---|---|")
    for name, place in ZOO.items():
        yield _network(name, _load("limbeck.models", place))
    yield ""


def _network(name: str, make: Any) -> str:
    keys = inspect.signature(make).parameters
    given = ("classes", "channels", *(("height", "width") if "height" in keys else ()))
    own = [key for key in keys if key not in given]
    first = (inspect.getdoc(make) or "").split("\n")[0]
    return f"| `{name}` | {first} | {', '.join(f'`{key}`' for key in own) or '–'} |"


def _train() -> Iterator[str]:
    yield from ("## train", "", *_table(Train))
    groups: Mapping[str, tuple[Any, ...]] = {
        "optimizer": (SGD, Adam, AdamW, RMSprop, LARS, LAMB),
        "schedule": (Constant, Cosine, Linear, Step),
        "teacher_outputs": (Live, Cached),
    }
    for key, classes in groups.items():
        yield from (f"### train.{key}", "", "| name | what | keys and their defaults |", "|---|---|---|")
        for cls in classes:
            fields = {field.name: field for field in dataclasses.fields(cls)}
            name = fields.pop("name").default
            keys = ", ".join(f"`{field.name}: {_plain(field)}`" for field in fields.values())
            yield f"| `{name}` | {' '.join(_prose(cls)).strip()} | {keys or '–'} |"
        yield ""
        for cls in classes:
            if _described(cls):
                yield from (f"Keys of `{next(f.default for f in dataclasses.fields(cls) if f.name == 'name')}`:", "")
                yield from _table(cls)


def _table(cls: Any, *, without: Any = None) -> list[str]:
    known, meanings = {field.name for field in dataclasses.fields(without)} if without else set(), _described(cls)
    fields = [f for f in dataclasses.fields(cls) if f.name not in known and f.name in meanings]
    if not fields:
        return []
    rows = [f"| `{field.name}` | {_default(field)} | {meanings[field.name]} |" for field in fields]
    return ["| key | default | meaning |", "|---|---|---|", *rows, ""]


def _default(field: dataclasses.Field[Any]) -> str:
    plain = _plain(field)
    return plain if plain == "required" else f"`{plain}`"


def _plain(field: dataclasses.Field[Any]) -> str:
    """A default as a recipe writes it."""
    value = field.default
    if isinstance(value, FieldInfo):
        value = value.get_default(call_default_factory=True)
    return "required" if value is dataclasses.MISSING else _yaml(value)


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if dataclasses.is_dataclass(value):
        return "classification" if isinstance(value, Classification) else str(getattr(value, "name", "{}"))
    return "{}" if value == {} else str(value)


def _title(cls: Any) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0].split(";")[0].rstrip(".")


def _prose(cls: Any) -> list[str]:
    """The docstring without what is said of single keys."""
    text = (inspect.getdoc(cls) or "").partition("\nArgs:\n")[0].partition("\nRaises:\n")[0]
    return [*text.strip().splitlines(), ""]


def _described(cls: Any) -> dict[str, str]:
    """Key -> what the class, or one that it stands on, says of it below `Args:`."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, arguments = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Args:\n")
        last = ""
        for line in arguments.split("\n\n")[0].splitlines():
            if line.startswith("     "):
                found[last] += f" {line.strip()}"
            else:
                last, _, meaning = line.strip().partition(": ")
                found[last] = meaning
    found.pop("", None)
    return {key: meaning.replace("|", "\\|") for key, meaning in found.items()}


def _load(package: str, place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"{package}.{module}"), name)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
