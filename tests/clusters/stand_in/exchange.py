"""One request to the stand-in for an object, or a collection of them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml
from aiohttp import web

from tests.clusters.stand_in import statuses
from tests.clusters.stand_in.admission import restricted
from tests.clusters.stand_in.callers import is_admin
from tests.clusters.stand_in.resources import NAMESPACES, Resource
from tests.clusters.stand_in.selectors import field_selects, selects
from tests.clusters.stand_in.store import Stored, Writer

if TYPE_CHECKING:
    from tests.clusters.stand_in.server import StandIn

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


@dataclass(frozen=True)
class Target:
    """What a path names; no name is the collection."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


class Exchange:
    """One request for an object, or a collection of them."""

    def __init__(self, cluster: "StandIn", request: web.Request, body: bytes, target: Target) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._query = request.query
        self._method = request.method
        self._content_type = request.content_type
        self._admin = is_admin(request)
        self._body = body
        self._resource = target.resource
        self._namespace = target.namespace
        self._name = target.name
        self._subresource = target.subresource

    def answer(self) -> web.StreamResponse:
        verb = self._verb()
        self._authorize(verb)
        if self._subresource == "log":
            return self._log()
        handlers: dict[str, Callable[[], web.StreamResponse]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "patch": self._patch,
            "update": self._update,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        return handlers[verb]()

    def _authorize(self, verb: str) -> None:
        if not self._admin and self._cluster.denies(verb, self._resource.plural, self._resource.group, self._subresource):
            raise statuses.forbidden(verb, self._resource.named, self._name, self._namespace)

    def _verb(self) -> str:
        if not self._name and self._method in ("PUT", "PATCH"):
            raise statuses.method_not_allowed()
        if not self._name:
            return {"GET": "list", "DELETE": "deletecollection"}.get(self._method, _VERBS.get(self._method, ""))
        return _VERBS[self._method]

    def _get(self) -> web.StreamResponse:
        return web.json_response(self._store.find(self._resource, self._namespace, self._name).shown())

    def _list(self) -> web.StreamResponse:
        found = self._selected()
        start = _position(self._query["continue"]) if "continue" in self._query else 0
        limit = int(self._query.get("limit", "0")) or len(found)
        metadata: dict[str, Any] = {"resourceVersion": str(self._store.revision)}
        if len(found) > start + limit:
            metadata["continue"] = base64.b64encode(str(start + limit).encode()).decode()
            metadata["remainingItemCount"] = len(found) - start - limit
        items = [_bare(one.shown()) for one in found[start : start + limit]]
        listed = {"kind": f"{self._resource.kind}List", "apiVersion": self._resource.api_version}
        return web.json_response({**listed, "metadata": metadata, "items": items})

    def _selected(self) -> list[Stored]:
        there = self._store.objects.get(self._resource, {})
        return [
            stored
            for (namespace, _), stored in sorted(there.items(), key=lambda pair: pair[0])
            if self._namespace in ("", namespace)
            and selects(self._query.get("labelSelector", ""), stored.document["metadata"].get("labels", {}))
            and field_selects(self._query.get("fieldSelector", ""), stored.document)
        ]

    def _create(self) -> web.StreamResponse:
        self._in_a_namespace()
        document = self._document()
        if self._resource.kind == "Pod":
            self._admit(document)
        created = self._store.create(self._resource, self._namespace, document, self._writer())
        if self._resource.kind == "CustomResourceDefinition":
            created.document["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        return web.json_response(created.shown(), status=201)

    def _admit(self, pod: dict[str, Any]) -> None:
        labels = self._store.find(NAMESPACES, "", self._namespace).document["metadata"].get("labels", {})
        guarded = labels.get("pod-security.kubernetes.io/enforce") == "restricted"
        for admit in (*self._cluster.admission, *([restricted] if guarded else [])):
            if said := admit(pod):
                name = pod.get("metadata", {}).get("name") or pod["metadata"].get("generateName", "")
                raise statuses.not_admitted(self._resource.named, name, said)

    def _patch(self) -> web.StreamResponse:
        if self._content_type not in (APPLY, MERGE):
            raise statuses.unsupported(f"{MERGE}, {APPLY}")
        document = self._document()
        if self._content_type == APPLY:
            if "fieldManager" not in self._query:
                raise statuses.invalid("PatchOptions", "meta.k8s.io", "", "fieldManager", "is required for apply patch")
            if (self._namespace, self._name) not in self._store.objects.get(self._resource, {}):
                self._authorize("create")
            self._in_a_namespace()
            force = self._query.get("force") == "true"
            writer = Writer(self._query["fieldManager"], "Apply", self._subresource)
            applied, created = self._store.apply(self._resource, self._namespace, self._name, document, writer, force=force)
            return web.json_response(applied.shown(), status=201 if created else 200)
        live = self._store.find(self._resource, self._namespace, self._name)
        patched = self._store.update(self._resource, live, merge_patched(live.document, document), self._writer())
        return web.json_response(patched.shown())

    def _update(self) -> web.StreamResponse:
        live = self._store.find(self._resource, self._namespace, self._name)
        return web.json_response(self._store.update(self._resource, live, self._document(), self._writer()).shown())

    def _delete(self) -> web.StreamResponse:
        options = json.loads(self._body) if self._body else {}
        grace = self._query.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
        given = None if grace is None else int(grace)
        deleted = self._store.delete(self._resource, self._namespace, self._name, grace=given)
        return web.json_response(deleted.shown())

    def _delete_collection(self) -> web.StreamResponse:
        for stored in self._selected():
            metadata = stored.document["metadata"]
            self._store.delete(self._resource, metadata.get("namespace", ""), metadata["name"], grace=None)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    def _log(self) -> web.StreamResponse:
        pod = self._store.find(self._resource, self._namespace, self._name)
        previous = self._query.get("previous") == "true"
        lines = self._cluster.log_of(pod, self._query["container"], previous=previous)
        if "sinceTime" in self._query:
            since = datetime.fromisoformat(self._query["sinceTime"])
            lines = [(at, line) for at, line in lines if at is None or at >= since]
        if "tailLines" in self._query:
            count = int(self._query["tailLines"])
            lines = lines[-count:] if count else []
        return web.Response(text="".join(f"{line}\n" for _, line in lines))

    def _in_a_namespace(self) -> None:
        if self._resource.namespaced:
            self._store.find(NAMESPACES, "", self._namespace)

    def _document(self) -> dict[str, Any]:
        """The body: JSON, or what is applied, which is YAML."""
        document = from_yaml(self._body) if self._content_type == APPLY else from_json(self._body)
        if self._content_type != MERGE:
            self._check_kind(document)
        return document

    def _check_kind(self, document: dict[str, Any]) -> None:
        """A create may leave out what it is; an apply may not."""
        said, wanted = (document.get("apiVersion"), document.get("kind")), (self._resource.api_version, self._resource.kind)
        if said != wanted and (any(said) or self._content_type == APPLY):
            raise statuses.bad_request(
                f"the object provided is unrecognized (must be of type {wanted[1]} of {wanted[0]}): got {said}"
            )

    def _writer(self) -> Writer:
        return Writer(self._query.get("fieldManager", "unknown"), subresource=self._subresource)


def merge_patched(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patched(merged.get(key), value)
    return merged


def from_json(body: bytes) -> dict[str, Any]:
    """The body of a create, an update or a merge patch."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise statuses.bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(document, dict):
        raise statuses.bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal into an object")
    return document


def from_yaml(body: bytes) -> dict[str, Any]:
    """What is applied. libyaml's reader is the one that Go's was made of: it refuses what that refuses, in its words."""
    try:
        document = yaml.load(body, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        said = f"error decoding YAML: error converting YAML to JSON: yaml: {problem}"
        raise statuses.bad_request(said) from None
    if not isinstance(document, dict):
        raise statuses.bad_request("error decoding YAML: json: cannot unmarshal into an object")
    return document


def _position(token: str) -> int:
    try:
        return int(base64.b64decode(token, validate=True))
    except ValueError:
        raise statuses.bad_request(f"continue key is not valid: illegal base64 data in {token[:20]!r}") from None


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    """Items of a list do not say what they are."""
    return {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
