"""Fields of objects and who owns them: how server-side apply merges, by what the schemas say of lists and maps.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/ and the format FieldsV1.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.clusters.stand_in.schemas import Schema, Schemas

type Path = tuple[str, ...]
"""Steps as in FieldsV1: `f:name`, `k:{"name":"x"}` for an item of a list with keys, `v:"x"` for one of a set, `.` itself."""

_UNOWNED = frozenset(
    ("f:metadata", f"f:{name}")
    for name in ("name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "managedFields")
)
_DEFAULTS = {"protocol": "TCP"}


class Fields:
    """Fields by the schemas of one version of Kubernetes."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def leaves(self, document: Mapping[str, Any]) -> dict[Path, Any]:
        """All fields that somebody can own, and their values."""
        found = dict(self._leaves(document, self._schemas.of(document["apiVersion"], document["kind"]), ()))
        return {path: value for path, value in found.items() if path[:2] not in _UNOWNED and path[0] not in _TYPE}

    def merged(self, live: Any, applied: Any, schema: Schema) -> Any:
        """The live value with what is applied over it."""
        schema = self._schemas.resolved(schema)
        if isinstance(applied, dict) and isinstance(live, dict) and schema.get("x-kubernetes-map-type") != "atomic":
            changed = {key: self.merged(live.get(key), value, _of_key(schema, key)) for key, value in applied.items()}
            return {**live, **changed}
        if isinstance(applied, list) and isinstance(live, list):
            return self._merged_list(live, applied, schema)
        return applied

    def without(self, value: Any, gone: Iterable[Path], schema: Schema) -> Any:
        """The value without those fields; a map that is left with nothing goes too."""
        by_step: dict[str, list[Path]] = {}
        for path in gone:
            by_step.setdefault(path[0], []).append(path[1:])
        schema = self._schemas.resolved(schema)
        if isinstance(value, list):
            kept = [self._kept(item, by_step.get(_step(item, schema), ()), schema.get("items", {})) for item in value]
            return [item for item in kept if item is not _GONE]
        pairs = ((key, self._kept(one, by_step.get(f"f:{key}", ()), _of_key(schema, key))) for key, one in value.items())
        return {key: one for key, one in pairs if one is not _GONE}

    def _kept(self, value: Any, gone: Iterable[Path], schema: Schema) -> Any:
        gone = tuple(gone)
        if not gone:
            return value
        if () in gone or (".",) in gone:
            return _GONE
        return self.without(value, gone, schema) or _GONE

    def _leaves(self, value: Any, schema: Schema, path: Path) -> Iterable[tuple[Path, Any]]:
        schema = self._schemas.resolved(schema)
        if isinstance(value, dict) and value and schema.get("x-kubernetes-map-type") != "atomic":
            for key, one in value.items():
                yield from self._leaves(one, _of_key(schema, key), (*path, f"f:{key}"))
        elif isinstance(value, list) and schema.get("x-kubernetes-list-type") == "map":
            for item in value:
                step = _step(item, schema)
                yield (*path, step, "."), None
                yield from self._leaves(item, schema["items"], (*path, step))
        elif isinstance(value, list) and schema.get("x-kubernetes-list-type") == "set":
            for item in value:
                yield (*path, _step(item, schema)), item
        else:
            yield path, value

    def _merged_list(self, live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
        if schema.get("x-kubernetes-list-type") not in ("map", "set"):
            return applied
        wanted = {_step(item, schema): item for item in applied}
        kept = [
            self.merged(item, wanted.pop(_step(item, schema), item), schema["items"] if isinstance(item, dict) else {})
            for item in live
        ]
        return kept + list(wanted.values())


_GONE = object()
_TYPE = frozenset({"f:apiVersion", "f:kind"})


def _of_key(schema: Schema, key: str) -> Schema:
    found = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def _step(item: Any, schema: Schema) -> str:
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is None or not isinstance(item, dict):
        return f"v:{json.dumps(item)}"
    named = {key: item.get(key, _DEFAULTS.get(key)) for key in keys}
    return f"k:{json.dumps({key: value for key, value in named.items() if value is not None}, separators=(',', ':'))}"


def fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """The fields, as `managedFields` shows them."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        at = root
        for step in path:
            at = at.setdefault(step, {})
    return root


def field_name(path: Path) -> str:
    """The field, as a conflict names it: `.spec.replicas`."""
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]" for step in path if step != ".")
