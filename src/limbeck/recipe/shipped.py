"""The recipes that come with limbeck, and how a recipe is named.

A recipe is named by a path that ends in `.yaml` (or `.yml`), or by a shipped name such as `digits/kd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from limbeck.core.errors import Problem, RecipeError, close

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Shipped:
    """A recipe in the package: its name, what its first comment line says, and its file."""

    name: str
    description: str
    path: Path


def root() -> Path:
    """The folder of shipped recipes."""
    return Path(str(resources.files("limbeck"))) / "recipes"


def shipped() -> tuple[Shipped, ...]:
    """All shipped recipes, sorted by name."""
    paths = sorted((path for path in root().glob("*/*.yaml") if path.is_file()), key=_name)
    return tuple(Shipped(_name(path), _description(path), path) for path in paths)


def find(reference: str, *, folder: Path) -> Path:
    """The file that a path or a shipped name means, as an absolute path.

    Args:
        reference: a path that ends in `.yaml` or `.yml`, or a shipped name.
        folder: where a relative path starts.

    Raises:
        RecipeError: there is no such file, or no such shipped recipe.
    """
    if reference.endswith(SUFFIXES):
        path = (folder / Path(reference).expanduser()).absolute()
        if path.is_file():
            return path
        # Without suffixes, which would make all names look alike.
        beside = sorted(p.stem for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        hint = close(path.stem, beside) if beside else f"no recipe lies in {path.parent}"
        raise RecipeError([Problem(f"no file {str(path)!r}; {hint}")])
    known = {recipe.name: recipe.path for recipe in shipped()}
    if reference not in known:
        hint = close(reference, known)
        raise RecipeError([Problem(f"no shipped recipe {reference!r}; {hint}; a path must end in .yaml")])
    return known[reference]


def reference_of(path: Path) -> str:
    """The shipped name of a file that lies among the shipped recipes; otherwise its path as text."""
    if path.suffix == ".yaml" and path.parent.parent == root():
        return _name(path)
    return str(path)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _description(path: Path) -> str:
    """The first line of a file, if it is a comment."""
    with path.open(encoding="utf-8") as lines:
        first = lines.readline().strip()
    return first.lstrip("# ") if first.startswith("#") else ""
