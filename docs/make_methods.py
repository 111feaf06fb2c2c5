"""Write docs/methods.md: every method with its paper, equations and hyper-parameters, from the docstrings.

Nothing is imported but the table of names; the sources are parsed. A test compares the page with this script.

    python docs/make_methods.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from limbeck.methods import METHODS

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
        title, _, rest = _docstring(_tree(name)).partition("\n\n")
        first = rest.split("\n\n")[0]
        paper = first if _YEAR.search(first) else ""
        yield f"| [`{name}`](#{name}) | {title} | {paper.replace(chr(10), ' ')} |"


def _section(name: str) -> Iterator[str]:
    tree = _tree(name)
    cls = _class(tree, METHODS[name].partition(":")[2])
    yield from (f"## {name}", "", f"`limbeck.methods.{METHODS[name].replace(':', '.')}`", "")
    yield from ("```text", _docstring(tree), "```", "")
    described = _described(cls)
    fields = [field for field in cls.body if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field)]
    if not fields:
        yield from ("No hyper-parameters.", "")
        return
    yield from ("| hyper-parameter | default | meaning |", "|---|---|---|")
    for field in fields:
        key = ast.unparse(field.target)
        default = f"`{ast.unparse(field.value)}`" if field.value else "required"
        yield f"| `{key}` | {default} | {described[key]} |"
    yield ""


def _tree(name: str) -> ast.Module:
    source = files("limbeck.methods") / f"{METHODS[name].partition(':')[0]}.py"
    return ast.parse(source.read_text(encoding="utf-8"))


def _docstring(tree: ast.Module) -> str:
    return ast.get_docstring(tree) or ""


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _described(cls: ast.ClassDef) -> dict[str, str]:
    """Name -> what the class's docstring says below `Args:`; a line that is indented further goes on with its key."""
    _, _, arguments = (ast.get_docstring(cls) or "").partition("Args:\n")
    found: dict[str, str] = {}
    for line in arguments.split("\n\n")[0].splitlines():
        text = line.strip()
        if line.startswith("     "):
            found[next(reversed(found))] += f" {text}"
        else:
            key, _, meaning = text.partition(": ")
            found[key] = meaning
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
