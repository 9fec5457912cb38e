"""JSON Schemas of what is sent and answered: those of the types, and what is beside them as the API takes it.

Source: JSON Schema 2020-12, as OpenAPI 3.1 has it; client-facts.md, 14.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.domain.wire import Wire

_REF = "#/components/schemas/{model}"
_REFERENCE = re.compile("#/components/schemas/([A-Za-z]+)")
_NULL = {"type": "null"}

type Schema = dict[str, Any]


def reference(kind: type) -> Schema:
    """The schema of a type that is described by itself."""
    return {"$ref": _REF.format(model=kind.__name__)}


class Schemas:
    """The schemas of those types, and of all that they are made of. Those that are `taken` are bodies of requests."""

    def __init__(self, kinds: Collection[type[BaseModel]], taken: Collection[type[Wire]], filters: Collection[type[Wire]]):
        every = sorted({*kinds, *taken, *filters}, key=lambda kind: kind.__name__)
        _, document = models_json_schema([(kind, "validation") for kind in every], ref_template=_REF)
        self.components: dict[str, Schema] = document["$defs"]
        self._filters = {kind: self.components.pop(kind.__name__)["properties"] for kind in filters}
        for name in self._within({kind.__name__ for kind in taken}):
            _admit_nulls(self.components[name])
        for kind in taken:
            _admit_read_only(kind, self.components[kind.__name__])

    def parameters(self, filters: type[Wire]) -> Iterator[tuple[str, Schema]]:
        """The query parameters that those filters are, by name. One that is there is never null."""
        for name, schema in self._filters[filters].items():
            yield name, _present(schema)

    def _within(self, names: Collection[str]) -> set[str]:
        """The names of the schemas that those refer to, they themselves included."""
        found, new = set(names), set(names)
        while new:
            new = {name for one in new for name in _REFERENCE.findall(str(self.components[one]))} - found
            found |= new
        return found


def present_only(kind: type[Wire], field: str) -> Schema:
    """The schema of one field of a type, by its name on the wire; without null."""
    return _present(kind.model_json_schema()["properties"][field])


def _present(schema: Mapping[str, Any]) -> Schema:
    others = [one for one in schema.get("anyOf", ()) if one != _NULL]
    return {**(others[0] if len(others) == 1 else {key: value for key, value in schema.items() if key != "default"})}


def _admit_nulls(schema: Schema) -> None:
    """A null optional property is an absent one."""
    for name, one in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and _NULL not in one.get("anyOf", ()):
            kept = {key: one.pop(key) for key in ("default", "description") if key in one}
            schema["properties"][name] = {"anyOf": [one, _NULL], **kept}


def _admit_read_only(kind: type[Wire], schema: Schema) -> None:
    """What the service sets may be in a request, whatever it holds, and is ignored."""
    ignored = {name: {"readOnly": True, "description": "Ignored in a request."} for name in sorted(kind.read_only)}
    schema["properties"] = {**schema["properties"], **ignored}
