from collections.abc import AsyncIterator

import pytest

from shared.compute.kubernetes.api import KubernetesApi
from tests.clusters.cluster import Cluster, running_cluster
from tests.clusters.controllers import Controllers
from tests.clusters.stand_in import StandIn


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


@pytest.fixture
def stand_in(cluster) -> StandIn:
    """The cluster, when it is the stand-in; else the test is skipped."""
    return cluster.needs_stand_in("faults at will, missing permissions, and logs without a kubelet")


@pytest.fixture
async def kubernetes(cluster) -> AsyncIterator[KubernetesApi]:
    """A client of the app's."""
    async with cluster.api() as opened:
        yield opened


@pytest.fixture
def controllers(cluster) -> Controllers:
    return Controllers(cluster)
