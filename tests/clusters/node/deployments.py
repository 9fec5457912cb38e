"""The controllers of Deployments and ReplicaSets, and the garbage collector: they create and delete pods in their time."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from shared.compute.kubernetes.kinds import DEPLOYMENT, POD, Kind
from tests.clusters.changes import changes
from tests.clusters.cluster import Cluster, Object
from tests.clusters.controllers import Controllers, pod_hash, pod_is_ready


class DeploymentController(Controllers):
    """Rolls Deployments out by `maxSurge`, with `maxUnavailable` 0; how pods fare is the node's to say."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._reported: dict[str, object] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work until the context ends."""
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self._work())
            yield
            working.cancel()

    async def _work(self) -> None:
        async for _ in changes(self._cluster):
            for deployment in await self._list(DEPLOYMENT):
                await self._reconcile({"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind, **deployment})
            await self.collect_garbage()

    async def _reconcile(self, deployment: Object) -> None:
        replica_set = await self._ensure_replica_set(deployment)
        pods = [pod for pod in await self._pods(deployment) if "deletionTimestamp" not in pod["metadata"]]
        new = [pod for pod in pods if pod_hash(pod) == pod_hash(replica_set)]
        old = [pod for pod in pods if pod_hash(pod) != pod_hash(replica_set)]
        wanted = deployment["spec"]["replicas"]
        for _ in range(min(wanted - len(new), wanted + _surge(deployment) - len(pods))):
            await self._create_pod(replica_set, deployment)
        for pod in [*sorted(new, key=pod_is_ready)[: max(len(new) - wanted, 0)], *_superfluous(new, old, wanted)]:
            await self._delete_pod(pod)
        await self._tell(deployment, new, old)

    async def _tell(self, deployment: Object, new: list[Object], old: list[Object]) -> None:
        """Report what has changed, with the time of now."""
        name, generation = deployment["metadata"]["name"], deployment["metadata"]["generation"]
        state = (generation, *(sorted(map(pod_is_ready, pods)) for pods in (new, old)))
        if self._reported.get(name) != state:
            moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            await self._report_deployment(deployment, new, old, moment)
            self._reported[name] = state

    async def _delete(self, kind: Kind, name: str) -> None:
        """A pod has its grace period."""
        if kind is POD:
            await self._cluster.request("DELETE", self._path(kind, name))
        else:
            await super()._delete(kind, name)


def _surge(deployment: Object) -> int:
    """How many pods there may be beyond those that are wanted."""
    most = str(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"])
    share = most.removesuffix("%")
    return math.ceil(deployment["spec"]["replicas"] * int(share) / 100) if share != most else int(most)


def _superfluous(new: list[Object], old: list[Object], wanted: int) -> list[Object]:
    """Old pods that may go now: those that are not ready, and of the others as many as leave what is wanted."""
    ready = [pod for pod in old if pod_is_ready(pod)]
    spare = sum(map(pod_is_ready, new)) + len(ready) - wanted
    return [pod for pod in old if not pod_is_ready(pod)] + ready[: max(spare, 0)]
