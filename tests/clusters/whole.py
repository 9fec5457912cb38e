"""A whole cluster: the stand-in for the API server, controllers, a node that runs images, and nginx before it.

It works in a thread of its own, so that tests may wait for what it does as clients wait.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clusters.cluster import VARIABLE, Cluster, Object, running_cluster
from tests.clusters.front_end import Nginx
from tests.clusters.node import Node
from tests.clusters.node.deployments import DeploymentController
from tests.registries.running import judge

_PROGRAMS = {"bwrap": "bubblewrap", "nginx": "nginx", "skopeo": "skopeo", "umoci": "umoci"}


@dataclass(frozen=True)
class WholeCluster:
    """A namespace, and what leads to its pods; asked from any thread."""

    cluster: Cluster
    front_end: Nginx
    loop: asyncio.AbstractEventLoop
    leaving: asyncio.Event

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
    """One that runs until the context ends. Skipped on a real API server, where it would play what others may do."""
    if os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names an API server, where controllers and nodes may be at work: these are the tests' own")
    for program, package in _PROGRAMS.items():
        judge(program, package)
    opened: Future[WholeCluster] = Future()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, _run(opened))
        wait({running, opened}, return_when=FIRST_COMPLETED)
        if not opened.done():
            running.result()
        whole = opened.result()
        try:
            yield whole
        finally:
            if not running.done():
                whole.loop.call_soon_threadsafe(whole.leaving.set)
            running.result()


async def _run(opened: Future[WholeCluster]) -> None:
    leaving = asyncio.Event()
    async with (
        running_cluster() as cluster,
        Node(cluster).running() as node,
        DeploymentController(cluster).running(),
        Nginx(cluster).running() as front_end,
    ):
        cluster.needs_stand_in("logs").kubelet = node.log
        opened.set_result(WholeCluster(cluster, front_end, asyncio.get_running_loop(), leaving))
        await leaving.wait()
