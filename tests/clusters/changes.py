"""When something in a cluster has changed."""

import asyncio
from collections.abc import AsyncIterator

from tests.clusters.cluster import Cluster

_LOOK_EVERY = 0.1


async def changes(cluster: Cluster) -> AsyncIterator[None]:
    """Now, and each time that something has changed since: what a watch is for, which the stand-in does not have."""
    seen = ""
    while True:
        listed = await cluster.request("GET", cluster.path("v1", "serviceaccounts"), limit="1")
        before, seen = seen, listed["metadata"]["resourceVersion"]
        if seen != before:
            yield
        await asyncio.sleep(_LOOK_EVERY)
