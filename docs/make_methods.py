"""Write docs/methods.md: every method with its paper, equations and hyper-parameters, from the docstrings.

A test compares the page with this script.

    python docs/make_methods.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from limbeck.methods import METHODS
from limbeck.recipe.keys import REQUIRED, keys_of
from limbeck.recipe.names import METHODS as METHODS_TABLE

_YEAR = re.compile(r"\b(19|20)\d\d\b")
"""A paragraph that names a year names a paper."""
PAGE = Path(__file__).parent / "methods.md"
HEAD = """\
# Methods

One method is one file in `src/limbeck/methods/`. The file's name is the name in a recipe, and its docstring is what you
read here: this page is made from the docstrings by `docs/make_methods.py`. `limbeck methods NAME` prints one of them.
"""


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join((HEAD, *_index(), "", *(line for name in METHODS for line in _section(name)))).rstrip() + "\n"


def _index() -> Iterator[str]:
    yield "| name in a recipe | what | source |"
    yield "|---|---|---|"
    for name in METHODS:
        title, _, rest = _docstring(name).partition("\n\n")
        first = rest.split("\n\n")[0]
        paper = first if _YEAR.search(first) else ""
        yield f"| [`{name}`](#{name}) | {title} | {paper.replace(chr(10), ' ')} |"


def _section(name: str) -> Iterator[str]:
    cls = METHODS_TABLE.find(name)
    yield from (f"## {name}", "", f"`limbeck.methods.{METHODS[name].replace(':', '.')}`", "")
    yield from ("```text", _docstring(name), "```", "")
    keys = keys_of(cls)
    if not keys:
        yield from ("No hyper-parameters.", "")
        return
    yield from ("| hyper-parameter | default | allowed | meaning |", "|---|---|---|---|")
    for key in keys:
        default = key.default if key.default == REQUIRED else f"`{key.default}`"
        yield f"| `{key.name}` | {default} | {key.allowed or '–'} | {key.meaning} |"
    yield ""


def _docstring(name: str) -> str:
    module, _, _ = METHODS[name].partition(":")
    return inspect.getdoc(import_module(f"limbeck.methods.{module}")) or ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
