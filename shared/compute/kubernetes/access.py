"""Whether a cluster is as services need it: it can be reached, serves the kinds, and lets this app do its work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from shared.compute.kubernetes.api import KubernetesApi, group_of, resource_of
from shared.compute.kubernetes.kinds import DEPLOYMENT, EVENT, POD, SECRET, Kind
from shared.compute.kubernetes.objects import claims_in, kinds
from shared.domain.compute_resources import ClusterSettings, ScalerKind, Scaling, ScalingMetric
from shared.domain.errors import Detail, InvalidRequest, ServiceError

_CUSTOM_METRICS = "custom.metrics.k8s.io"
_FIELD = "cluster"
_AT_ONCE = 8
_CHANGES = ("list", "create", "patch", "delete")
"""Of all objects of services. Server-side apply is authorized as patch, and as create too where there is nothing yet."""

_CLAIMING = ("get", "list", "create", "delete")


@dataclass(frozen=True)
class Permission:
    """A verb on a kind, or on a part of its objects."""

    verb: str
    kind: Kind
    subresource: str = ""

    def __str__(self) -> str:
        """As a Role would have it: `get pods/log`, `patch deployments.apps`."""
        plural, _, group = resource_of(self.kind).partition(".")
        part = f"{plural}/{self.subresource}" if self.subresource else plural
        return f"{self.verb} {part}.{group}".rstrip(".")


_BESIDE = (
    Permission("get", DEPLOYMENT),
    Permission("get", SECRET),
    Permission("list", POD),
    Permission("patch", POD),
    Permission("get", POD, "log"),
    Permission("list", EVENT),
)
"""What else is done: looks at a service, and the notice to pods that there are new keys."""


def permissions(cluster: ClusterSettings) -> tuple[Permission, ...]:
    """All that this app must be allowed to do in the namespace of a cluster with these settings."""
    changed = (Permission(verb, kind) for kind in kinds(cluster) for verb in _CHANGES)
    return (*changed, *_BESIDE)


async def checked(api: KubernetesApi, cluster: ClusterSettings, claiming: KubernetesApi | None = None) -> Scaling:
    """How services scale on that cluster, now that it is known what it serves. `claiming` is a client of the namespace that
    claims of addresses are in.

    Raises InvalidRequest when the cluster cannot be reached as the settings say, and naming all at once that is missing:
    the namespace, kinds of extensions, permissions.
    """
    try:
        await api.version()
        missing = [*await _not_there(api, cluster), *await _not_allowed(api, permissions(cluster))]
        missing += await _not_claimable(claiming or api, cluster)
        slots = cluster.scaling.kind is ScalerKind.KEDA or await api.answers(_CUSTOM_METRICS)
    except ServiceError as error:
        message = f"{_FIELD}: the cluster cannot be used: {error.message}"
        raise InvalidRequest(message, code=error.code, details=[Detail(error.code, error.message)]) from error
    if missing:
        listed = ", ".join(missing)
        message = f"{_FIELD}: the cluster is not ready for services; it lacks: {listed}."
        raise InvalidRequest(message, code="ClusterNotReady", details=[Detail("Missing", one) for one in missing])
    return cluster.scaling.but(metric=ScalingMetric.SLOTS if slots else ScalingMetric.CPU)


async def _not_there(api: KubernetesApi, cluster: ClusterSettings) -> list[str]:
    extensions = [kind for kind in kinds(cluster) if "." in group_of(kind)]
    served = await _bounded(partial(api.served, kind.api_version) for kind in extensions)
    named = [] if await api.has_namespace() else [f"the namespace {cluster.namespace}"]
    return named + [
        f"the kind {kind.kind} ({kind.api_version})" for kind, there in zip(extensions, served, strict=True) if not there
    ]


async def _not_allowed(api: KubernetesApi, wanted: Sequence[Permission]) -> list[str]:
    allowed = await _bounded(partial(api.review, one.verb, one.kind, one.subresource) for one in wanted)
    return [f"permission to {one}" for one, may in zip(wanted, allowed, strict=True) if not may]


async def _not_claimable(claiming: KubernetesApi, cluster: ClusterSettings) -> list[str]:
    """What is missing in another namespace than that of services."""
    named = claims_in(cluster)
    if named == cluster.namespace:
        return []
    wanted = [Permission(verb, SECRET) for verb in _CLAIMING]
    missing = [] if await claiming.has_namespace() else [f"the namespace {named}"]
    return missing + [f"{one} in the namespace {named}" for one in await _not_allowed(claiming, wanted)]


async def _bounded[T](calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """All of them, a few at once; when one fails, no more are begun."""
    calling = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with calling:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]
