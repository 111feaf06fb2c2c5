"""From a recipe's values to objects, collecting every problem on the way.

A settings class says itself what it takes. Most fields are checked by pydantic, strictly and through JSON: a whole
number is a number but true is not, and a list is a tuple. Fields that hold other settings are built here, one by one,
because they may be *chosen by name*:

    Annotated[Any, METHODS], or the class Method itself      by `name`, in that table or by Python path
    SGD | AdamW                                              by `name`, the classes' own Literal field
    tuple[Method, ...], dict[str, Method], SGD | None        the same inside lists, mappings and options
    Annotated[Any, Reader(function)]                         by that function, for forms that no class can say

A name alone, `optimizer: sgd`, stands for `{name: sgd}`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from limbeck.core.errors import LimbeckError, Problem, close
from limbeck.recipe.messages import messages, shown
from limbeck.recipe.names import Table, UnknownName, table_of
from limbeck.recipe.yaml import KeyPath, Node, dotted


@dataclass(frozen=True)
class Reader:
    """A mark in an annotation: this function builds the value.

    Args:
        function: (builder, node, path) -> the value; reports problems to the builder.
        schema: the JSON Schema of the value.
    """

    function: Callable[[Builder, Node, KeyPath], Any]
    schema: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)


class Builder:
    """Builds objects; `problems` collects, and `names` remembers the name by which each class was chosen."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.names: dict[type, str] = {}

    def report(self, node: Node, path: KeyPath, message: str, *, at_key: bool = False) -> None:
        """Add a problem at a value, or at the key that holds it."""
        mark = node.key if at_key and node.key else node.mark
        self.problems.append(mark.problem(f"{dotted(path)}: {message}" if path else message))

    def value(self, annotation: Any, node: Node, path: KeyPath) -> Any:
        """The object that an annotation makes of a value. Meaningless if a problem was added."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:], node, path)
        table = table_of(annotation)
        if table:
            return self.chosen(table, node, path)
        if is_settings(annotation):
            return self.settings(annotation, node, path)
        if origin in (Union, types.UnionType):
            return self._union(arguments, node, path)
        if isinstance(origin, type) and issubclass(origin, Mapping) and is_nested(annotation):
            return self._mapping(arguments[1], node, path)
        if isinstance(origin, type) and issubclass(origin, Sequence) and is_nested(annotation):
            items = self._list(arguments[0], node, path)
            return tuple(items) if origin is tuple else items
        return self.leaf(annotation, node, path)

    def leaf(self, annotation: Any, node: Node, path: KeyPath) -> Any:
        """A value that holds no other settings, checked by pydantic."""
        try:
            return TypeAdapter(annotation).validate_json(json.dumps(node.plain), strict=True)
        except ValidationError as error:
            self._invalid(error, node, path)
            return None

    def chosen(self, table: Table, node: Node, path: KeyPath) -> Any:
        """An object of the class that the value's `name` finds in a table."""
        named = self._named(node, path, table.what, list(table.paths))
        if named is None:
            return None
        name, rest = named
        try:
            cls = table.find(name)
        except UnknownName as error:
            self.report(rest.child("name") or node, (*path, "name"), str(error))
            return None
        if not (is_settings(cls) or isinstance(cls, type)):
            self.report(node, path, f"{name} is not a class")
            return None
        self.names[cls] = table.name_of(cls) or name
        return self.settings(cls, rest if "name" in fields_of(cls) else without(rest, "name"), path)

    def settings(self, cls: Any, node: Node, path: KeyPath) -> Any:
        """An object of a settings class; of a class that is not, an object without arguments."""
        if not isinstance(node.value, dict):
            self.report(node, path, f"expected a mapping of {cls.__name__}'s keys, came {shown(node.plain)}")
            return None
        fields = fields_of(cls)
        before = len(self.problems)
        for key, child in node.value.items():
            if key not in fields:
                hint = close(key, fields) if fields else f"{cls.__name__} has none"
                self.report(child, (*path, key), f"no such key; {hint}", at_key=True)
        given = {key: child for key, child in node.value.items() if key in fields}
        nested = {
            key: self.value(annotation_of(fields[key]), child, (*path, key))
            for key, child in given.items()
            if is_nested(annotation_of(fields[key]))
        }
        self._check_leaves(
            cls, Node({k: v for k, v in given.items() if k not in nested}, node.mark, node.key), nested, path
        )
        if len(self.problems) > before:
            return None
        plain = {key: child.plain for key, child in given.items()}
        try:
            return cls(**{**plain, **nested})
        except ValidationError as error:
            self._invalid(error, node, path)
        except (LimbeckError, ValueError) as error:
            self.report(node, path, str(error))
        return None

    def _check_leaves(self, cls: Any, leaves: Node, nested: Mapping[str, Any], path: KeyPath) -> None:
        """Check the fields that hold no settings; what the class says about all together comes when it is built."""
        if not is_settings(cls):
            return
        try:
            TypeAdapter(cls).validate_json(json.dumps(leaves.plain), strict=True)
        except ValidationError as error:
            errors = [e for e in error.errors() if e["loc"] and not (e["type"] == "missing" and e["loc"][0] in nested)]
            self._report_all(messages(errors, leaves), leaves, path)
        except LimbeckError:  # from the class itself, about defaults in the place of what is nested
            return

    def _annotated(self, annotation: Any, metadata: Sequence[Any], node: Node, path: KeyPath) -> Any:
        for mark in metadata:
            if isinstance(mark, Table):
                return self.chosen(mark, node, path)
            if isinstance(mark, Reader):
                return mark.function(self, node, path)
        if is_nested(annotation):  # other metadata is checked when the object that holds the value is built
            return self.value(annotation, node, path)
        return self.leaf(Annotated[(annotation, *metadata)], node, path)

    def _union(self, members: Sequence[Any], node: Node, path: KeyPath) -> Any:
        """A value of one of several forms: a list, a mapping, or something plain."""
        nested = [member for member in members if is_nested(member)]
        plain = [member for member in members if not is_nested(member)]
        lists = [member for member in nested if _is_list(member)]
        if isinstance(node.value, list) and lists:
            return self.value(lists[0], node, path)
        others = [member for member in nested if not _is_list(member)]
        named = {name: member for member in others for name in literal_names(member)}
        literals = {text for member in plain if get_origin(member) is Literal for text in get_args(member)} | {str} & {
            *plain
        }
        is_name = isinstance(node.value, str) and not literals & {node.value, str}
        is_name = is_name and bool(named or any(_is_chosen(member) for member in others))
        if not (isinstance(node.value, dict) or is_name) and plain:
            return self._plain(Union[tuple(plain)], nested, node, path)  # noqa: UP007 - built at run time
        if len(others) == 1 and not (is_name and named):
            return self.value(others[0], node, path)
        found = self._named(node, path, "choice", list(named))
        if found is None:
            return None
        name, rest = found
        if name not in named:
            self.report(rest.child("name") or node, (*path, "name"), f"unknown name {name!r}; {close(name, named)}")
            return None
        return self.settings(named[name], rest, path)

    def _plain(self, annotation: Any, others: Sequence[Any], node: Node, path: KeyPath) -> Any:
        """A value of a union that is neither a list nor a mapping; what is wrong with it names those forms too."""
        try:
            return TypeAdapter(annotation).validate_json(json.dumps(node.plain), strict=True)
        except ValidationError as error:
            forms = "".join(f" or {_form(other)}" for other in others)
            found = messages(error.errors(), node)
            self._report_all(
                [(where, text.replace(", came ", f"{forms}, came ", 1)) for where, text in found], node, path
            )
            return None

    def _named(self, node: Node, path: KeyPath, what: str, known: Sequence[str]) -> tuple[str, Node] | None:
        """The `name` in a mapping, and the mapping; a name alone stands for a mapping."""
        if isinstance(node.value, str):
            node = Node({"name": node}, node.mark, node.key)
        if not isinstance(node.value, dict):
            self.report(node, path, f"expected a {what} {{name: ...}}, came {shown(node.plain)}; {close('', known)}")
            return None
        name = node.child("name")
        if name is None or not isinstance(name.value, str):
            came = "" if name is None else f", came {shown(name.plain)}"
            self.report(name or node, path, f"the key 'name' of the {what} is expected{came}; {close('', known)}")
            return None
        return name.value, node

    def _list(self, annotation: Any, node: Node, path: KeyPath) -> list[Any]:
        if not isinstance(node.value, list):
            self.report(node, path, f"expected a list, came {shown(node.plain)}")
            return []
        return [self.value(annotation, item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, annotation: Any, node: Node, path: KeyPath) -> dict[str, Any]:
        if not isinstance(node.value, dict):
            self.report(node, path, f"expected a mapping, came {shown(node.plain)}")
            return {}
        return {key: self.value(annotation, child, (*path, key)) for key, child in node.value.items()}

    def _invalid(self, error: ValidationError, node: Node, path: KeyPath) -> None:
        self._report_all(messages(error.errors(), node), node, path)

    def _report_all(self, found: Any, node: Node, path: KeyPath) -> None:
        for below, message in found:
            self.report(node.nearest(below)[0], (*path, *below), message)


def is_settings(annotation: Any) -> bool:
    """Whether this is a class made by `limbeck.core.settings.settings`."""
    return isinstance(annotation, type) and is_pydantic_dataclass(annotation)


def is_nested(annotation: Any) -> bool:
    """Whether values of this annotation are, or contain, settings."""
    if is_settings(annotation) or isinstance(annotation, Table | Reader):
        return True
    return get_origin(annotation) is not Literal and any(is_nested(part) for part in get_args(annotation))


def without(node: Node, *keys: str) -> Node:
    """A mapping without some of its keys."""
    assert isinstance(node.value, dict)  # noqa: S101 - for the type checker
    return Node({key: child for key, child in node.value.items() if key not in keys}, node.mark, node.key)


def fields_of(cls: Any) -> dict[str, FieldInfo]:
    """A class's fields; none for a class that is not a settings class."""
    if not is_settings(cls):
        return {}
    return {name: info for name, info in cls.__pydantic_fields__.items() if info.init is not False}


def annotation_of(info: FieldInfo) -> Any:
    """A field's annotation with its marks and limits."""
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def literal_names(cls: Any) -> tuple[str, ...]:
    """The names in a settings class's field `name: Literal[...]`."""
    info = fields_of(cls).get("name")
    return get_args(info.annotation) if info is not None and get_origin(info.annotation) is Literal else ()


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_list(get_args(annotation)[0])
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _form(annotation: Any) -> str:
    """What a user writes for a nested annotation."""
    if get_origin(annotation) is Annotated and _is_list(annotation):
        annotation = get_args(annotation)[0]
    if _is_list(annotation):
        return f"a list of {_form(get_args(annotation)[0])}"
    if not is_settings(annotation) or literal_names(annotation):
        return "{name: ...}"
    fields = fields_of(annotation)
    return f"{{{', '.join([name for name, info in fields.items() if info.is_required()] or fields)}}}"


def _is_chosen(annotation: Any) -> bool:
    return bool(table_of(annotation)) or any(isinstance(part, Table) for part in get_args(annotation)[1:])
