"""The objects of the stand-in, and what writing one does to it, its owners and its versions."""

import base64
import copy
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.clusters.stand_in import semantics, statuses
from tests.clusters.stand_in.fields import Fields, Path, field_name, fields_v1
from tests.clusters.stand_in.resources import Resource
from tests.clusters.stand_in.schemas import Wrong, newest

type Object = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SERVERS_OWN = ("uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "deletionTimestamp")


@dataclass
class Ownership:
    """What a manager owns, by one way of writing."""

    paths: set[Path]
    api_version: str
    time: str


@dataclass
class Stored:
    """An object, and who owns its fields: by manager, operation and subresource."""

    document: Object
    owners: dict[tuple[str, str, str], Ownership] = field(default_factory=dict)

    def shown(self) -> Object:
        """It as the API shows it."""
        managed = [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": one.api_version,
                "time": one.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": fields_v1(one.paths),
                **({"subresource": subresource} if subresource else {}),
            }
            for (manager, operation, subresource), one in self.owners.items()
            if one.paths
        ]
        return {**self.document, "metadata": {**self.document["metadata"], "managedFields": managed}}


@dataclass(frozen=True)
class Writer:
    """Who writes, and which part."""

    manager: str
    operation: str = "Update"
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.manager, self.operation, self.subresource)


class Store:
    """All objects, by resource, namespace and name."""

    def __init__(self, *, validating: bool = True) -> None:
        self.objects: dict[Resource, dict[tuple[str, str], Stored]] = {}
        self.revision = 1
        self._validating = validating
        self._schemas = newest()
        self._fields = Fields(self._schemas)

    def find(self, resource: Resource, namespace: str, name: str) -> Stored:
        found = self.objects.get(resource, {}).get((namespace, name))
        if found is None:
            raise statuses.not_found(resource.named, name)
        return found

    def create(self, resource: Resource, namespace: str, document: Object, writer: Writer) -> Stored:
        metadata = document.setdefault("metadata", {})
        if "generateName" in metadata and "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{uuid.uuid4().hex[:5]}"
        if (namespace, metadata.get("name", "")) in self.objects.get(resource, {}):
            raise statuses.exists(resource.named, metadata["name"])
        if resource.status:
            document.pop("status", None)
        return self._insert(resource, namespace, document, writer)

    def apply(
        self, resource: Resource, namespace: str, name: str, applied: Object, writer: Writer, *, force: bool
    ) -> tuple[Stored, bool]:
        """The object, and whether it was created."""
        schema = self._schemas.of(resource.api_version, resource.kind)
        if applied.get("metadata", {}).get("name", name) != name:
            raise statuses.bad_request(f"the name of the object ({applied['metadata']['name']}) does not match {name}")
        if applied["metadata"].get("managedFields") is not None:
            raise statuses.bad_request("metadata.managedFields must be nil")
        if said := semantics.untyped(applied):
            raise statuses.untyped(resource.api_version, resource.kind, said)
        version = applied["metadata"].get("resourceVersion")
        there = self.objects.get(resource, {}).get((namespace, name))
        if version and (there is None or there.document["metadata"]["resourceVersion"] != version):
            raise statuses.modified(resource.named, name)
        applied = _without_servers_own(applied, name)
        live = self.objects.get(resource, {}).get((namespace, name))
        if live is None:
            return self._insert(resource, namespace, copy.deepcopy(applied), writer), True
        wanted = self._fields.leaves(applied)
        self._take(live, wanted, writer, force=force)
        before = live.owners.get(writer.key)
        elsewhere = {path for key, one in live.owners.items() if key != writer.key for path in one.paths}
        gone = (before.paths if before else set()) - wanted.keys() - elsewhere
        document = self._fields.merged(self._fields.without(live.document, gone, schema), applied, schema)
        now = Ownership(set(wanted), resource.api_version, _now())
        if before is not None and before.paths == now.paths:
            now.time = before.time
        live.owners[writer.key] = now
        self._replace(resource, live, document)
        return live, False

    def update(self, resource: Resource, live: Stored, document: Object, writer: Writer) -> Stored:
        """Replace it by that; what a write does not reach stays: the status, or all but the status."""
        old = live.document
        version = document.get("metadata", {}).get("resourceVersion")
        if version not in (None, old["metadata"]["resourceVersion"]):
            raise statuses.modified(resource.named, old["metadata"]["name"])
        if writer.subresource == "status":
            document = {**old, "status": document.get("status", {})}
        elif resource.status:
            document = {key: value for key, value in document.items() if key != "status"}
            document |= {"status": old["status"]} if "status" in old else {}
        servers = {key: old["metadata"][key] for key in _SERVERS_OWN if key in old["metadata"]}
        document = {**document, "metadata": _without(document["metadata"], *_SERVERS_OWN) | servers}
        self._own_changes(resource, live, document, writer)
        self._replace(resource, live, document)
        return live

    def delete(self, resource: Resource, namespace: str, name: str, *, grace: int | None) -> Stored:
        live = self.find(resource, namespace, name)
        metadata = live.document["metadata"]
        scheduled = resource.kind == "Pod" and "nodeName" in live.document["spec"] and grace != 0
        if metadata.get("finalizers") or scheduled:
            if "deletionTimestamp" not in metadata:
                self._replace(resource, live, {**live.document, "metadata": {**metadata, "deletionTimestamp": _now()}})
        else:
            self.remove(resource, namespace, name)
        return live

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        self.objects[resource].pop((namespace, name), None)
        self.revision += 1

    def _insert(self, resource: Resource, namespace: str, document: Object, writer: Writer) -> Stored:
        metadata = _without(document["metadata"], *_SERVERS_OWN)
        metadata |= {"namespace": namespace} if namespace else {}
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1}
        document = {"apiVersion": resource.api_version, "kind": resource.kind, **document, "metadata": metadata}
        document = _encoded(document)
        stored = Stored(document)
        self._check(resource, document)
        stored.owners[writer.key] = Ownership(set(self._fields.leaves(document)), resource.api_version, _now())
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        self.objects.setdefault(resource, {})[namespace, metadata["name"]] = stored
        return stored

    def _take(self, live: Stored, wanted: dict[Path, Any], writer: Writer, *, force: bool) -> None:
        """Fields of other managers that are wanted otherwise change hands, or are conflicts."""
        values = self._fields.leaves(live.document)
        conflicts: list[tuple[str, str, str]] = []
        for key, owned in live.owners.items():
            if key == writer.key:
                continue
            for path in sorted(owned.paths & wanted.keys()):
                if path in values and values[path] == wanted[path]:
                    continue
                conflicts.append((key[0], owned.api_version, field_name(path)))
                if force:
                    owned.paths.discard(path)
        if conflicts and not force:
            raise statuses.apply_conflict(conflicts)

    def _own_changes(self, resource: Resource, live: Stored, document: Object, writer: Writer) -> None:
        before, after = self._fields.leaves(live.document), self._fields.leaves(document)
        changed = {path for path, value in after.items() if path not in before or before[path] != value}
        for owned in live.owners.values():
            owned.paths -= changed | (before.keys() - after.keys())
        mine = live.owners.setdefault(writer.key, Ownership(set(), resource.api_version, _now()))
        mine.paths |= changed

    def _replace(self, resource: Resource, live: Stored, document: Object) -> None:
        document = _encoded(document)
        if document == live.document:
            return
        self._check(resource, document, live.document)
        metadata = dict(document["metadata"])
        if document.get("spec") != live.document.get("spec"):
            metadata["generation"] = metadata.get("generation", 1) + 1
        self.revision += 1
        live.document = {**document, "metadata": metadata | {"resourceVersion": str(self.revision)}}
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and resource.kind != "Pod":
            self.remove(resource, metadata.get("namespace", ""), metadata["name"])

    def _check(self, resource: Resource, document: Object, before: Object | None = None) -> None:
        wrong = self._wrong(document, before)
        if wrong is None:
            return
        name = document["metadata"].get("name", "")
        if wrong.undeclared:
            raise statuses.not_declared(resource.api_version, resource.kind, f".{wrong.field}: {wrong.said}")
        raise statuses.invalid(resource.kind, resource.group, name, wrong.field, wrong.said)

    def _wrong(self, document: Object, before: Object | None) -> Wrong | None:
        """What the schemas say, and some of what they cannot."""
        metadata = document["metadata"]
        if not _NAME.fullmatch(metadata.get("name", "")):
            return Wrong("metadata.name", "a lowercase RFC 1123 subdomain must consist of lower case characters")
        by_schema = self._schemas.wrong(document) if self._validating else None
        return by_schema or next(semantics.wrong(document, before), None)


def _encoded(document: Object) -> Object:
    """A Secret's stringData goes into its data."""
    if document["kind"] != "Secret" or "stringData" not in document:
        return document
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in document["stringData"].items()}
    return {**_without(document, "stringData"), "data": {**document.get("data", {}), **encoded}}


def _without_servers_own(applied: Object, name: str) -> Object:
    return {**applied, "metadata": _without(applied.get("metadata", {}), *_SERVERS_OWN) | {"name": name}}


def _without(mapping: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
