"""JSON Schemas (draft 2020-12) put into documents: their references, their examples, and Swagger's older dialect of them.

Sources: JSON Schema core, 8.2 and 10; OpenAPI 3.1.0, Schema Object; Swagger 2.0, Schema Object.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .kinds import Schema

_OF_NAMES = frozenset({"properties", "patternProperties", "$defs"})
_OF_ONE = frozenset({"items", "additionalProperties", "not"})
_OF_SEVERAL = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_IN_SWAGGER = frozenset({
    "$ref", "additionalProperties", "allOf", "default", "description", "discriminator", "enum", "example",
    "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "properties", "readOnly", "required",
    "title", "type", "uniqueItems",
})  # fmt: skip
_UNKNOWN = object()


def apart(schema: Schema, place: str) -> tuple[Schema, dict[str, Schema]]:
    """The schema, and those it refers to, by name; all references lead to `place` in the document."""

    def referring(one: Schema) -> Schema:
        if "$ref" not in one:
            return one
        return {**one, "$ref": place + str(one["$ref"]).removeprefix("#/$defs/").removeprefix("#/definitions/")}

    moved = _changed(schema, referring)
    others: dict[str, Schema] = moved.pop("$defs", {})
    return moved, others


def with_example(schema: Schema) -> Schema:
    """The schema with an `example`, where one is known: its own, or one made of those of all that it requires."""
    example = _example(schema, schema.get("$defs", {}))
    return schema if example is _UNKNOWN else {**schema, "example": example}


def _example(schema: Schema, others: Mapping[str, Schema]) -> Any:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        remaining = {key: other for key, other in others.items() if key != name}
        return _example(others[name], remaining) if name in others else _UNKNOWN
    if schema.get("examples"):
        return schema["examples"][0]
    for key in ("example", "default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    if "properties" in schema:
        known = {name: _example(one, others) for name, one in schema["properties"].items()}
        if all(known.get(name, _UNKNOWN) is not _UNKNOWN for name in schema.get("required", known)):
            return {name: one for name, one in known.items() if one is not _UNKNOWN}
    if schema.get("type") == "array" and "items" in schema:
        item = _example(schema["items"], others)
        return item if item is _UNKNOWN else [item]
    return _UNKNOWN


def as_swagger(schema: Schema) -> Schema:
    """The schema in the dialect of Swagger 2.0. What that cannot say is left out: it never refuses what the schema takes."""
    return _changed(schema, _in_swagger)


def _in_swagger(schema: Schema) -> Schema:
    schema = _without_null(dict(schema))
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    if "const" in schema:
        schema["enum"] = [schema["const"]]
    if schema.get("examples"):
        schema.setdefault("example", schema["examples"][0])
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(exclusive), int | float) and not isinstance(schema[exclusive], bool):
            schema[limit], schema[exclusive] = schema[exclusive], True
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    for key, value in (("type", "null"), ("default", None)):  # it knows no null
        if key in schema and schema[key] == value:
            del schema[key]
    return {key: value for key, value in schema.items() if key in _IN_SWAGGER or key.startswith("x-")}


def _without_null(schema: Schema) -> Schema:
    """A choice with null is what `x-nullable` says; of any other choice there is no way to tell."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if len(choices) == len(schema.get("anyOf", [])):
        return schema
    return {**(choices[0] if len(choices) == 1 else {}), **schema, "x-nullable": True}


def _changed(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """The schema, and then all schemas in it, changed."""
    made: Schema = {}
    for key, value in change(schema).items():
        if key in _OF_NAMES:
            made[key] = {name: _changed(one, change) if isinstance(one, dict) else one for name, one in value.items()}
        elif key in _OF_ONE and isinstance(value, dict):
            made[key] = _changed(value, change)
        elif key in _OF_SEVERAL:
            made[key] = [_changed(one, change) if isinstance(one, dict) else one for one in value]
        else:
            made[key] = value
    return made
