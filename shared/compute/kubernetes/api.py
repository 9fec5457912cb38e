"""The Kubernetes API, as far as services need it, over the `kubernetes` package: objects are their JSON, in one namespace.

Source: https://kubernetes.io/docs/reference/using-api/ (api-concepts, server-side-apply). The package's models are not used.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.compute.kubernetes import kinds
from shared.compute.kubernetes.failures import Answer, refusal
from shared.compute.kubernetes.kinds import EVENT, HTTP_ROUTE, POD, SCALED_OBJECT, Kind, Object
from shared.compute.kubernetes.session import APPLY, SECONDS, Call, Connect, Session
from shared.domain.errors import InvalidRequest, Unavailable, foreign

FIELD_MANAGER = "slipway"
_PAGE = 500
_STARTS = 3
_LOG_BYTES = 1024 * 1024
_KINDS = {(kind.api_version, kind.kind): kind for kind in vars(kinds).values() if isinstance(kind, Kind)}
_EXTENSIONS = frozenset({SCALED_OBJECT, HTTP_ROUTE})
"""Kinds that a cluster may not serve; all others are part of Kubernetes itself."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubernetesApi:
    """One namespace of one cluster.

    Every call raises ServiceError (ClusterUnauthenticated for credentials that are refused, ClusterForbidden for what this
    app may not do), Throttled, and Unavailable when the cluster is away or does not answer in time; what changes something
    raises LeaseLost before it does.
    """

    def __init__(self, connect: Connect, namespace: str, *, seconds: float = SECONDS) -> None:
        """`connect` is asked at the first call, and when the cluster does not know the app any more; a call takes no longer
        than `seconds`."""
        self._session = Session(connect, seconds=seconds)
        self._namespace = namespace

    @property
    def calls(self) -> int:
        """How many calls were made so far."""
        return self._session.calls

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def apply(self, wanted: Object) -> Object:
        """Make it so: what there is of that name becomes this where this says something; the object as it is now.

        Fields are taken from whoever else set them. Raises Conflict, to be tried again, and DeployFailed with the API
        server's words for what it refuses.
        """
        kind = _KINDS[wanted["apiVersion"], wanted["kind"]]
        name = wanted["metadata"]["name"]
        call = Call(
            "PATCH",
            self._path(kind, name),
            _doing("apply", kind, name),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=wanted,
            content_type=APPLY,
        )
        return _document(await self._session.answer(call), call)

    async def create(self, wanted: Object) -> Object | None:
        """Make that object; None when there is one of its name, which stays as it is."""
        kind = _KINDS[wanted["apiVersion"], wanted["kind"]]
        doing = _doing("create", kind, wanted["metadata"]["name"])
        call = Call("POST", self._path(kind), doing, query={"fieldManager": FIELD_MANAGER}, body=wanted)
        answer = await self._session.answer(call)
        exists = answer.status == 409 and answer.document.get("reason") == "AlreadyExists"
        return None if exists else _document(answer, call)

    async def get(self, kind: Kind, name: str) -> Object | None:
        """The object of that name; None when there is none."""
        return await self._object(kind, Call("GET", self._path(kind, name), _doing("get", kind, name)))

    async def list(self, kind: Kind, selector: str = "") -> tuple[Object, ...]:
        """All objects of that kind with those labels; none of a kind that the cluster does not serve."""
        return await self._listed(kind, {"labelSelector": selector} if selector else {})

    async def delete(self, kind: Kind, name: str) -> None:
        """It and what it owns begin to go; harmless when it is not there."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        await self._object(kind, Call("DELETE", self._path(kind, name), _doing("delete", kind, name), body=options))

    async def annotate(self, kind: Kind, name: str, annotations: Mapping[str, str | None]) -> Object | None:
        """Set those annotations, and remove those that are None; the object as it is now, None when it is not there."""
        return await self.merge(kind, name, {"metadata": {"annotations": dict(annotations)}})

    async def merge(self, kind: Kind, name: str, patch: Object) -> Object | None:
        """Change what the patch names (RFC 7386), and nothing else; the object as it is now, None when it is not there."""
        call = Call(
            "PATCH",
            self._path(kind, name),
            _doing("patch", kind, name),
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type="application/merge-patch+json",
        )
        return await self._object(kind, call)

    async def log(
        self, pod: str, *, container: str, previous: bool = False, tail: int | None = None, since: datetime | None = None
    ) -> str:
        """What a container has printed, or did before its last restart: the newest lines, at most a mebibyte.

        Empty when there is nothing to read: the pod has gone, the container has not begun, or was not there before.
        """
        query: dict[str, str | int] = {"container": container, "previous": str(previous).lower()}
        query |= {} if tail is None else {"tailLines": tail}
        query |= {} if since is None else {"sinceTime": since.astimezone(UTC).isoformat(timespec="seconds")}
        call = Call("GET", f"{self._path(POD, pod)}/log", f"read the log of the pod {pod}", query=query, most=_LOG_BYTES)
        answer = await self._session.answer(call)
        if answer.status in (400, 404):
            return ""
        if not answer.ok:
            raise refusal(answer, call.doing)
        return answer.body.decode(errors="replace")

    async def events(self, *names: str) -> tuple[Object, ...]:
        """The events that are about objects of those names; one call a name."""
        asked = (self._listed(EVENT, {"fieldSelector": f"involvedObject.name={name}"}) for name in names)
        return tuple(event for events in await asyncio.gather(*asked) for event in events)

    async def review(self, verb: str, kind: Kind, subresource: str = "") -> bool:
        """Whether this app may do that to objects of that kind, or to a part of them such as `log`."""
        about = {"namespace": self._namespace, "verb": verb, "group": group_of(kind), "resource": kind.plural}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": about | ({"subresource": subresource} if subresource else {})},
        }
        call = Call("POST", _REVIEWS, f"say whether this app may {verb} {resource_of(kind)}", body=review)
        answered = _document(await self._session.answer(call), call)
        return bool(answered.get("status", {}).get("allowed"))

    async def served(self, group: str) -> bool:
        """Whether the cluster serves that group of its API, or that version of one: `keda.sh`, `keda.sh/v1alpha1`."""
        call = Call("GET", f"/apis/{group}", f"say whether it serves {group}")
        answer = await self._session.answer(call)
        return answer.status != 404 and bool(_document(answer, call))

    async def answers(self, group: str) -> bool:
        """Whether a group that another server than the API server's own serves can be asked now: its name stays when that
        server is down."""
        call = Call("GET", f"/apis/{group}", f"say which versions of {group} it serves")
        answer = await self._session.answer(call)
        versions = [] if answer.status == 404 else _document(answer, call).get("versions", [])
        asked = (Call("GET", f"/apis/{one['groupVersion']}", f"say what {group} holds") for one in versions)
        return any([(await self._session.answer(call)).ok for call in asked])

    async def version(self) -> str:
        """The version that the API server says it is, such as `v1.33.2`."""
        call = Call("GET", "/version", "say its version")
        return str(_document(await self._session.answer(call), call).get("gitVersion", ""))

    async def has_namespace(self) -> bool:
        """Whether the namespace is there. Who may not see it is told that it is: the first effect in it will tell."""
        call = Call("GET", f"/api/v1/namespaces/{self._namespace}", f"get the namespace {self._namespace}")
        answer = await self._session.answer(call)
        if answer.status in (403, 404):
            return answer.status == 403
        return bool(_document(answer, call))

    async def _object(self, kind: Kind, call: Call) -> Object | None:
        answer = await self._session.answer(call)
        return None if _absent(answer, kind) else _document(answer, call)

    async def _listed(self, kind: Kind, query: Mapping[str, str]) -> tuple[Object, ...]:
        """A list that has expired while it was read is read from its start again."""
        for _ in range(_STARTS):
            found = await self._pages(kind, query)
            if found is not None:
                return found
        raise Unavailable(f"The cluster's list of {resource_of(kind)} goes on expiring.", code="ClusterUnavailable")

    async def _pages(self, kind: Kind, query: Mapping[str, str]) -> tuple[Object, ...] | None:
        found: list[Object] = []
        more = {"limit": str(_PAGE)}
        while True:
            call = Call("GET", self._path(kind), _doing("list", kind), query={**query, **more})
            answer = await self._session.answer(call)
            if answer.status == 410:
                return None
            if _absent(answer, kind):
                return ()
            page = _document(answer, call)
            # Items of a list say neither what they are nor of which version: the list does.
            found += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            if not page.get("metadata", {}).get("continue"):
                return tuple(found)
            more["continue"] = page["metadata"]["continue"]

    def _path(self, kind: Kind, name: str | None = None) -> str:
        root = "/apis" if "/" in kind.api_version else "/api"
        path = f"{root}/{kind.api_version}/namespaces/{self._namespace}/{kind.plural}"
        if name is None:
            return path
        if not _NAME.fullmatch(name):  # it would be another path
            raise InvalidRequest(f"'{foreign(name, 120)}' is no object's name.")
        return f"{path}/{name}"


def group_of(kind: Kind) -> str:
    """The group of the API that the kind is in; empty for the core's."""
    return kind.api_version.rpartition("/")[0]


def resource_of(kind: Kind) -> str:
    """The kind as `kubectl` names it: `deployments.apps`."""
    return f"{kind.plural}.{group_of(kind)}".rstrip(".")


def _doing(verb: str, kind: Kind, name: str = "") -> str:
    return f"{verb} {resource_of(kind)} {name}".rstrip()


def _absent(answer: Answer, kind: Kind) -> bool:
    """Whether it is not there. An API server says of a kind that it does not serve what a wrong address would say too."""
    return answer.status == 404 and (answer.is_status or kind in _EXTENSIONS)


def _document(answer: Answer, call: Call) -> dict[str, Any]:
    if not answer.ok:
        raise refusal(answer, call.doing)
    if not answer.document:
        raise Unavailable(f"What answered is no Kubernetes API server, asked to {call.doing}.", code="ClusterUnavailable")
    return answer.document
