"""The logs of a service's pods."""

import asyncio
from collections.abc import Sequence
from itertools import chain

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.kinds import POD, Object
from shared.compute.kubernetes.names import selector
from shared.compute.kubernetes.objects.pod import CONTAINER
from shared.domain.computing import LogQuery, ReplicaLog
from shared.domain.errors import Unavailable

PREVIOUS = "previous"
_AT_ONCE = 8


async def printed(api: KubernetesApi, service_id: str, query: LogQuery) -> Sequence[ReplicaLog]:
    """What each pod has printed, after what it printed before its last restart."""
    pods = await api.list(POD, selector(service_id))
    wanted = [pod for pod in pods if query.replica in (None, pod["metadata"]["name"])]
    reading = asyncio.Semaphore(_AT_ONCE)

    async def read(pod: Object) -> Sequence[ReplicaLog]:
        async with reading:
            return await _of_pod(api, pod, query)

    return list(chain.from_iterable(await asyncio.gather(*(read(pod) for pod in wanted))))


async def _of_pod(api: KubernetesApi, pod: Object, query: LogQuery) -> Sequence[ReplicaLog]:
    name = pod["metadata"]["name"]
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    restarted = any(status["name"] == CONTAINER and status.get("restartCount", 0) for status in statuses)
    before = await _read(api, name, query, previous=True) if restarted else None
    now = await _read(api, name, query, previous=False)
    return [log for log in (before, now) if log is not None]


async def _read(api: KubernetesApi, pod: str, query: LogQuery, *, previous: bool) -> ReplicaLog:
    """A node that has gone does not give its pods' logs; that is said in their place, beside the logs of the others."""
    run = PREVIOUS if previous else ""
    try:
        text = await api.log(pod, container=CONTAINER, previous=previous, tail=query.tail, since=query.since)
    except Unavailable as away:
        return ReplicaLog(pod, run, (f"(this log cannot be read now: {away.message})",))
    return ReplicaLog(pod, run, tuple(text.splitlines()))
