"""A whole cluster: the stand-in for the API server, controllers, a node that runs images, and nginx before it.

It works in a thread of its own, so that tests may wait for what it does as clients wait.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.clusters.cluster import Cluster, Object, running_cluster
from tests.clusters.front_end import Nginx
from tests.clusters.node import Node
from tests.clusters.node.deployments import DeploymentController


@dataclass(frozen=True)
class WholeCluster:
    """A namespace, and what leads to its pods; asked from any thread."""

    cluster: Cluster
    front_end: Nginx
    loop: asyncio.AbstractEventLoop

    def objects(self, api_version: str, plural: str, selector: str = "") -> list[Object]:
        """All objects of that kind that carry those labels."""
        path = self.cluster.path(api_version, plural)
        items: list[Object] = self.wait_for(self.cluster.request("GET", path, labelSelector=selector))["items"]
        return items

    def wait_for(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """What comes of that, done in the cluster's own thread."""
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(30)


@contextmanager
def whole_cluster() -> Iterator[WholeCluster]:
    """One that runs until the context ends. It is skipped on an API server that has a node of its own, or none."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = _opened(loop)
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def _opened(loop: asyncio.AbstractEventLoop) -> AsyncIterator[WholeCluster]:
    async with running_cluster() as cluster:
        stand_in = cluster.needs_stand_in("a node of the tests' own")
        async with (
            Node(cluster).running() as node,
            DeploymentController(cluster).running(),
            Nginx(cluster).running() as front_end,
        ):
            stand_in.kubelet = node.log
            yield WholeCluster(cluster, front_end, loop)
