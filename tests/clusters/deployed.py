"""Services on the cluster of a test: a front end that leads to pods that are ready, and one service called as the engine
calls it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from shared.clock import SystemClock
from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.deployer import KubernetesCompute
from shared.compute.kubernetes.names import object_name
from shared.domain.compute_resources import ClusterConnection, ClusterSettings, FrontEnd
from shared.domain.computing import Rollout, ServiceSpec
from shared.domain.service_settings import AutoScaler, ServiceSettings
from shared.domain.wire import Json
from tests.clusters.cluster import Cluster, Object
from tests.clusters.controllers import READY, Controllers, PodState
from tests.clusters.front_end.played import FrontEndOfTest
from tests.clusters.specs import SPEC

ONE = ServiceSettings(num_replicas=1)


def scaled(low: int, high: int) -> ServiceSettings:
    return ServiceSettings(auto_scaler=AutoScaler(min_replicas=low, max_replicas=high)).settled()


class AheadClock(SystemClock):
    """The machine's time and so much more: what a test cannot wait for has passed."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> Any:
        return super().now() + self.ahead


@dataclass
class Deployed:
    """One service, and what plays the rest of the cluster for it."""

    compute: KubernetesCompute
    api: KubernetesApi
    controllers: Controllers
    cluster: Cluster
    clock: AheadClock
    settings: ClusterSettings
    front_end: FrontEndOfTest
    spec: ServiceSpec = field(
        default_factory=lambda: replace(SPEC, service_id=str(uuid4()), service_name="digits", settings=ONE)
    )

    @property
    def name(self) -> str:
        return object_name(self.spec.service_id)

    def but(self, **changes: Any) -> ServiceSpec:
        """The same service deployed otherwise."""
        return replace(self.spec, deployment_id=str(uuid4()), **changes)

    async def deploy(self, spec: ServiceSpec | None = None, how: PodState = READY) -> ServiceSpec:
        """Deploy it, with pods that fare so."""
        spec = spec or self.spec
        await self.compute.ensure_deployment(spec)
        await self.controllers.roll_out(self.name, how)
        return spec

    async def looked(self, times: int = 1, spec: ServiceSpec | None = None) -> Rollout:
        """What the last of so many looks tells; those after an end are not taken."""
        left: dict[str, Json] = {}
        rollout = Rollout()
        for _ in range(times):
            rollout = await self.compute.rollout(spec or self.spec, left)
            left = {**rollout.left}
            if rollout.ready or rollout.error:
                break
        return rollout

    async def get(self, api_version: str, plural: str, name: str = "") -> Object:
        """An object of that name, the service's own by default, or the Status that says it is not there."""
        return await self.cluster.request("GET", self.cluster.path(api_version, plural, name or self.name))

    async def pods(self) -> list[Object]:
        """All pods there are."""
        return (await self.cluster.request("GET", self.cluster.path("v1", "pods")))["items"]


@asynccontextmanager
async def deploying(cluster: Cluster, seconds: float = 5, **settings: Any) -> AsyncIterator[Deployed]:
    """A service that is not there yet, on that cluster, whose calls take no longer than that."""
    async with FrontEndOfTest(cluster).running() as front_end, cluster.api(seconds=seconds) as api:
        described = ClusterSettings(
            connection=ClusterConnection(kubeconfig_setting="SLIPWAY_KUBECONFIG_TEST"),
            namespace=cluster.namespace,
            **{"front_end": FrontEnd(address=front_end.address), **settings},
        )
        clock = AheadClock()
        compute = KubernetesCompute(described, api, clock)
        yield Deployed(compute, api, Controllers(cluster), cluster, clock, described, front_end)
