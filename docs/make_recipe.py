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

from limbeck.data import DATA
from limbeck.data.augment import Augment
from limbeck.data.source import ImageData
from limbeck.data.special import Confused, Special
from limbeck.models import ZOO
from limbeck.recipe.keys import REQUIRED, default, keys_of
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
is made from the classes' docstrings by `docs/make_recipe.py`; `limbeck schema` prints the same for editors.
"""
EXTENDS = (
    "| `extends` | – | text | another recipe, by path or shipped name, from which everything is taken that is not said "
    "here |"
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
            keys = ", ".join(f"`{field.name}: {default(field)}`" for field in fields.values())
            yield f"| `{name}` | {' '.join(_prose(cls)).strip()} | {keys or '–'} |"
        yield ""
        for cls in classes:
            if keys_of(cls):
                yield from (f"Keys of `{next(f.default for f in dataclasses.fields(cls) if f.name == 'name')}`:", "")
                yield from _table(cls)


def _table(cls: Any, *, without: Any = None) -> list[str]:
    known = {field.name for field in dataclasses.fields(without)} if without else set()
    keys = [key for key in keys_of(cls) if key.name not in known]
    if not keys:
        return []
    rows = (f"| `{key.name}` | {_code(key.default)} | {key.allowed or '–'} | {_cell(key.meaning)} |" for key in keys)
    return ["| key | default | allowed | meaning |", "|---|---|---|---|", *rows, ""]


def _code(text: str) -> str:
    return text if text == REQUIRED else f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _title(cls: Any) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0].split(";")[0].rstrip(".")


def _prose(cls: Any) -> list[str]:
    """The docstring without what is said of single keys."""
    text = (inspect.getdoc(cls) or "").partition("\nArgs:\n")[0].partition("\nRaises:\n")[0]
    return [*text.strip().splitlines(), ""]


def _load(package: str, place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"{package}.{module}"), name)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
