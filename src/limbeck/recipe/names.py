"""Names in recipes: tables of what limbeck knows, and `package.module:Name` for everything else.

A table is a plain dictionary in a room's `__init__`; it is read when a name is looked up, and a class is imported when
it is chosen. There is nothing to register: a method of one's own is named by its Python path.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from limbeck.core.errors import LimbeckError, close


class UnknownName(LimbeckError):
    """A name is in no table, or a Python path leads nowhere. Caught where the place in the recipe is known."""


@dataclass(frozen=True)
class Table:
    """Where the classes of one kind are found.

    As a mark in an annotation, `Annotated[Any, METHODS]`, it says that a recipe's value there is chosen by its `name`.

    Args:
        what: what an entry is called in messages, and in the JSON Schema.
        room: the module that holds the table and, in files below it, the classes.
        entries: the table's own name there: recipe name -> `file:Class`.
        base: `module:Class` that a class from elsewhere must derive from; empty = anything.
    """

    what: str
    room: str
    entries: str
    base: str = ""

    @property
    def paths(self) -> Mapping[str, str]:
        """Recipe name -> `module:Class`."""
        return {name: f"{self.room}.{path}" for name, path in table_in(self.room, self.entries).items()}

    @property
    def reference(self) -> str:
        """Where the recipe's JSON Schema defines a choice from this table."""
        return f"#/$defs/{self.what.replace(' ', '_')}"

    def find(self, name: str) -> Any:
        """The class of a name or of a Python path.

        Raises:
            UnknownName: neither; the message says what is close.
        """
        paths = self.paths
        if ":" not in name:
            if name not in paths:
                own = "one of your own is written package.module:Name"
                raise UnknownName(f"no {self.what} is called {name!r}; {close(name, paths)}; {own}")
            return load(paths[name])
        found = load(name)
        if self.base and not (isinstance(found, type) and issubclass(found, load(self.base))):
            raise UnknownName(f"{name} is not a subclass of {self.base}")
        return found

    def name_of(self, cls: type) -> str | None:
        """The name under which a class stands in this table, without importing anything."""
        return next((name for name, path in self.paths.items() if path == path_of(cls)), None)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"$comment": self.reference}  # pydantic knows no references but its own; json_schema.py makes it one


METHODS = Table("method", "limbeck.methods", "METHODS", base="limbeck.core.method:Method")
DATA = Table("data set", "limbeck.data", "DATA")
TASKS = Table("task", "limbeck.tasks", "TASKS")
TABLES = (METHODS, DATA, TASKS)


def table_in(room: str, entries: str) -> Mapping[str, str]:
    """The table `entries` of a room's `__init__`, read when asked for."""
    table: Mapping[str, str] = getattr(importlib.import_module(room), entries)
    return table


def table_of(cls: object) -> Table | None:
    """The table of a field that is annotated with the base class itself, such as `methods: tuple[Method, ...]`."""
    return next(
        (table for table in TABLES if table.base and isinstance(cls, type) and path_of(cls) == table.base), None
    )


def path_of(cls: type) -> str:
    """A class as `module:Name`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def load(path: str) -> Any:
    """What a Python path `package.module:Name` names. Modules beside the current folder are found.

    Raises:
        UnknownName: the path has another form, its module cannot be imported, or has no such name.
    """
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
        raise UnknownName(f"{path!r} has not the form package.module:Name")
    # A console script's sys.path lacks the current folder, where a user's own modules usually lie.
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a user's module can fail in any way; it must be named in the recipe's message
        raise UnknownName(f"module {module_name!r} cannot be imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            known = [key for key, item in vars(found).items() if getattr(item, "__module__", "") == module_name]
            raise UnknownName(f"module {module_name!r} has no {name!r}; {close(name, known)}")
        found = getattr(found, part)
    return found
