"""The JSON Schema of a recipe, for editors: completion, descriptions and checks while typing.

Every choice by name becomes `#/$defs/<table>`: a name alone, or one object per known class with its own keys, or an
object whose `name` is a Python path. pydantic describes each class; what it cannot know (the tables, the
forms of a network, `extends`) is added here.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from limbeck.models.names import ROUTES, network_names
from limbeck.recipe.models import Ensemble, From, Network, Specialists
from limbeck.recipe.names import TABLES, Table, table_in, table_of
from limbeck.recipe.schema import Recipe

PYTHON_PATH = {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"}


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a recipe's file. Imports every method, data set and task."""
    definitions: dict[str, Any] = {}
    root = _described(Recipe, "recipe", definitions)
    for table in TABLES:
        definitions[table.reference.rpartition("/")[2]] = _choice(table, definitions)
    definitions |= _networks(definitions)
    root["properties"]["extends"] = {
        "type": "string",
        "description": "One parent: a path ending in .yaml or a shipped name.",
    }
    root["properties"]["export"]["items"] = {"enum": sorted(table_in("limbeck.export", "FORMATS"))}
    root["anyOf"] = [{"required": ["data", "models", "method"]}, {"required": ["extends"]}]
    for part in (root, definitions):
        _link(part)
        _allow_names_alone(part, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "limbeck recipe",
        **root,
        "$defs": definitions,
    }


def _choice(table: Table, definitions: dict[str, Any]) -> dict[str, Any]:
    """A name of the table, an object of one of its classes, or one of the user's own."""
    prefix = table.reference.rpartition("/")[2]
    objects = []
    for name in table.paths:
        own = _described(table.find(name), f"{prefix}.{name}", definitions)
        own["properties"] = {"name": {"const": name}, **own.get("properties", {})}
        definitions[f"{prefix}.{name}"] = own
        objects.append({"$ref": f"#/$defs/{prefix}.{name}"})
    plugin = {"type": "object", "properties": {"name": PYTHON_PATH}, "required": ["name"]}
    return {"anyOf": [{"enum": list(table.paths)}, *objects, PYTHON_PATH, plugin]}


def _networks(definitions: dict[str, Any]) -> dict[str, Any]:
    """The forms of `models.<role>`."""
    network = _described(Network, "network", definitions)
    del network["properties"]["arguments"]
    routes = "|".join(route.removesuffix("NAME") for route in ROUTES if route.endswith("/NAME"))
    name = {"anyOf": [{"enum": network_names()}, {"type": "string", "pattern": f"^({routes}).+$"}, PYTHON_PATH]}
    network["properties"]["name"] = name
    network["additionalProperties"] = True
    network["not"] = {"anyOf": [{"required": ["from"]}, {"required": ["ensemble"]}, {"required": ["generalist"]}]}
    source = _described(From, "from", definitions)
    outer = {"from": {"anyOf": [{"type": "string"}, source]}}
    reference = {"type": "object", "properties": outer, "required": ["from"], "additionalProperties": False}
    ensemble = {**_described(Ensemble, "ensemble", definitions), "required": ["ensemble"]}
    specialists = {**_described(Specialists, "specialists", definitions), "required": ["generalist", "specialists"]}
    return {
        "member": {"anyOf": [name, network, reference]},
        "model": {"anyOf": [{"$ref": "#/$defs/member"}, ensemble, specialists, {"type": "null"}]},
    }


class _Generator(GenerateJsonSchema):
    """pydantic's generator, except that a field of the class `Method` refers to the table of methods."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        table = table_of(schema["cls"])
        return {"$comment": table.reference} if table else super().dataclass_schema(schema)


def _described(cls: type, prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A class's schema; the classes inside it become definitions under the prefix.

    No key is required: a recipe that extends another leaves out what its parent gives.
    """
    made: dict[str, Any] = TypeAdapter(cls).json_schema(
        ref_template=f"#/$defs/{prefix}.{{model}}", schema_generator=_Generator, mode="validation"
    )
    for name, inner in made.pop("$defs", {}).items():
        inner.pop("required", None)
        definitions[f"{prefix}.{name}"] = inner
    made.pop("required", None)
    return made


def _link(part: Any) -> None:
    """Turn the marks that pydantic carried along as comments into references."""
    for item in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _link(item)
    if isinstance(part, dict) and str(part.get("$comment", "")).startswith("#/$defs/"):
        reference = part["$comment"]
        part.clear()
        part["$ref"] = reference


def _allow_names_alone(part: Any, definitions: dict[str, Any]) -> None:
    """Wherever one of several classes is chosen by its constant `name`, allow the name alone."""
    if isinstance(part, list):
        for item in part:
            _allow_names_alone(item, definitions)
    if not isinstance(part, dict):
        return
    for item in part.values():
        _allow_names_alone(item, definitions)
    for key in ("anyOf", "oneOf"):
        members = [_target(member, definitions) for member in part.get(key, [])]
        names = [member["properties"]["name"]["const"] for member in members if _is_named(member)]
        if names and {"enum": names} not in part[key]:
            part.pop("discriminator", None)
            part["anyOf"] = [{"enum": names}, *part.pop(key)]


def _is_named(member: dict[str, Any]) -> bool:
    return "const" in member.get("properties", {}).get("name", {})


def _target(member: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definitions.get(member.get("$ref", "").removeprefix("#/$defs/"), member)
    return found
