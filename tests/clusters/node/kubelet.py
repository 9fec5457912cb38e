"""The node: it takes the pods of a namespace, runs them, and tells the API server how they fare."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from shared.compute.kubernetes.kinds import POD
from tests.clusters.changes import changes
from tests.clusters.cluster import Cluster, Object
from tests.clusters.controllers import MERGE, Controllers, Said
from tests.clusters.node.containers import Lines
from tests.clusters.node.images import Images
from tests.clusters.node.pods import Ground, Pod

NAME = "node-1"
_SYNC_EVERY = 60.0
"""Seconds after which a kubelet looks at mounted Secrets by itself. A pod that changes has it look at once."""


class Node:
    """One node: `async with Node(cluster).running()`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._controllers = Controllers(cluster)
        self._pods: dict[str, Pod] = {}
        self._network = f"127.{random.randint(64, 191)}.{random.randint(0, 255)}"
        self._running: set[asyncio.Task[None]] = set()
        self._used = 0
        self._reporting = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        """Run pods until the context ends; then none of them is left."""
        with tempfile.TemporaryDirectory(prefix="slipway-node-") as scratch:
            folder = _opened(scratch)
            self._ground = Ground(self._cluster, Images(folder / "images"), folder / "pods", self._report, self._say)
            async with asyncio.TaskGroup() as tasks:
                working = tasks.create_task(self._work(tasks))
                yield self
                for each in (working, *self._running):
                    each.cancel()

    def log(self, pod: str, _: str, previous: bool) -> Lines | None:
        """What the container of that pod has printed; None when there is no such run of it."""
        found = next((each for each in self._pods.values() if each.name == pod), None)
        return found.printed(previous=previous) if found else None

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        async for _ in changes(self._cluster):
            documents = (await self._cluster.request("GET", self._cluster.path("v1", "pods")))["items"]
            for document in documents:
                await self._see(document, tasks)
            for gone in self._pods.keys() - {document["metadata"]["uid"] for document in documents}:
                self._pods.pop(gone).stop()

    async def _see(self, document: Object, tasks: asyncio.TaskGroup) -> None:
        uid = document["metadata"]["uid"]
        if uid not in self._pods:
            self._used += 1
            self._pods[uid] = pod = Pod(document, f"{self._network}.{self._used}", self._ground)
            await self._patch(pod, {"spec": {"nodeName": NAME}})
            running = tasks.create_task(self._run(pod))
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            return
        pod = self._pods[uid]
        if "deletionTimestamp" in document["metadata"]:
            pod.stop()
        elif pod.document["metadata"].get("annotations") != document["metadata"].get("annotations"):
            pod.document = document
            await pod.volumes.sync()

    async def _run(self, pod: Pod) -> None:
        """Run it to its end; then it is gone from the API."""
        async with asyncio.TaskGroup() as tasks:
            syncing = tasks.create_task(self._sync(pod))
            await pod.run()
            syncing.cancel()
        await self._cluster.request("DELETE", self._path(pod), gracePeriodSeconds="0")

    async def _sync(self, pod: Pod) -> None:
        while True:
            await asyncio.sleep(_SYNC_EVERY)
            await pod.volumes.sync()

    async def _report(self, pod: Pod) -> None:
        since = pod.since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        async with self._reporting:  # the last report is of how it fares last
            status = pod.how.status(pod.document, since)
            await self._patch(pod, {"status": {**status, "podIP": pod.address, "hostIP": "127.0.0.1"}}, "/status")

    async def _say(self, about: Object, said: Said) -> None:
        await self._controllers.say(about, said, since=datetime.now(UTC), count=1)

    async def _patch(self, pod: Pod, body: Object, part: str = "") -> None:
        await self._cluster.request("PATCH", self._path(pod) + part, body, content_type=MERGE)

    def _path(self, pod: Pod) -> str:
        return self._cluster.path(POD.api_version, POD.plural, pod.name)


def _opened(scratch: str) -> Path:
    """A folder that containers may go through, who run as other users."""
    folder = Path(scratch)
    folder.chmod(0o711)
    return folder
