"""Services on one cluster: the port Compute. Objects are applied, and looked at once a wake-up; nothing waits in here."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.claims import Claims
from shared.compute.kubernetes.keys import ensure_keys
from shared.compute.kubernetes.kinds import DEPLOYMENT, POD, SERVICE
from shared.compute.kubernetes.names import object_name, selector
from shared.compute.kubernetes.objects import kinds, rendered, route_kind, scaler_kind
from shared.compute.kubernetes.reading import printed
from shared.compute.kubernetes.replicas import first_replicas, is_scaled
from shared.compute.kubernetes.rollouts import look
from shared.compute.kubernetes.surveying import View, survey
from shared.domain.accounts import Account
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import LogQuery, ReplicaLog, Rollout, ServiceSpec, Survey
from shared.domain.errors import DeployFailed, InvalidRequest, Unavailable
from shared.domain.ports import Clock
from shared.domain.service_settings import AutoScaler, ServiceSettings
from shared.domain.services import AuthKeys
from shared.domain.wire import Json


class KubernetesCompute:
    """One namespace of a cluster. Objects are named after the service's id, so two services never meet."""

    def __init__(
        self,
        cluster: ClusterSettings,
        api: KubernetesApi,
        clock: Clock,
        *,
        app: str = "",
        claiming: KubernetesApi | None = None,
    ) -> None:
        """`app` tells its objects from those of other apps; `claiming` is a client of the namespace that claims of addresses
        are in, where that is another one."""
        self._cluster = cluster
        self._api = api
        self._clock = clock
        self._app = app
        self._claims = Claims(cluster, app=app, holding=claiming or api, routes=api)

    @property
    def supervises(self) -> bool:
        """A cluster puts back pods, and nothing else."""
        return False

    def scoring_uri(self, account: Account, service_name: str) -> str:
        """Where that service is called (client-facts.md, 33)."""
        return f"{self._cluster.front_end.service_uri(account, service_name)}/score"

    def check(self, settings: ServiceSettings) -> None:
        """Raises InvalidRequest where no replica is asked for and nothing here starts one for a call."""
        scaler = settings.auto_scaler or AutoScaler()
        if scaler.autoscale_enabled and scaler.min_replicas == 0 and not self._cluster.scaling.from_zero:
            raise InvalidRequest(
                "autoScaler.minReplicas: got 0; accepts at least 1 on this compute resource, which scales by "
                f"{self._cluster.scaling.kind} and is not told of calls to a service without replicas: that needs keda with "
                "an activationQuery. To park a service, send autoscaleEnabled false and numReplicas 0."
            )

    async def ensure_deployment(self, spec: ServiceSpec) -> None:
        """Apply all that it is made of. Raises Conflict when another service has its name at this front end, and
        DeployFailed for an image that is in no registry."""
        _refuse_layout(spec)
        current = await self._api.get(DEPLOYMENT, object_name(spec.service_id))
        await self._claims.ensure(spec, may_be_held=current is not None)
        running = int(current["spec"].get("replicas", 1)) if current else 0
        if current is not None and not is_scaled(spec.settings):  # first of all: it would change the number once it is set
            await self._api.delete(scaler_kind(self._cluster), object_name(spec.service_id))
        if current is not None and spec.answered:
            await self._tell_keys(spec)
        replicas = first_replicas(spec.settings, running)
        for wanted in rendered(spec, self._cluster, replicas=replicas, awake=not spec.answered, app=self._app):
            await self._api.apply(wanted)

    async def rollout(self, spec: ServiceSpec, left: Mapping[str, Json]) -> Rollout:
        """Look at its pods once."""
        return await look(self._api, self._cluster, spec, left, self._clock.now())

    async def ensure_rolled_back(self, service_id: str, deployment_id: str, worked: ServiceSpec | None) -> None:
        """What worked is applied again: its pods are there, or are started again. Without it, nothing of it is left."""
        if worked is not None:
            await self.ensure_deployment(worked)
        else:
            await self.ensure_removed(service_id)

    async def ensure_keys(self, service_id: str, keys: AuthKeys) -> None:
        """The Secret holds these, and the nodes that run its pods are made to notice at once."""
        await ensure_keys(self._api, service_id, keys)

    async def ensure_withdrawn(self, service_id: str) -> None:
        """Neither the front end nor anybody in the cluster finds it any more, and another one may have its address."""
        leading = (route_kind(self._cluster), SERVICE)
        await asyncio.gather(*(self._api.delete(kind, object_name(service_id)) for kind in leading))
        await self._claims.release(service_id)

    async def ensure_removed(self, service_id: str) -> str:
        """All of its objects begin to go; empty when its pods have gone."""
        await asyncio.gather(*(self._api.delete(kind, object_name(service_id)) for kind in kinds(self._cluster)))
        await self._claims.release(service_id)
        pods = await self._api.list(POD, selector(service_id))
        return f"the end of {len(pods)} pods" if pods else ""

    async def logs(self, service_id: str, query: LogQuery) -> Sequence[ReplicaLog]:
        """What its pods have printed, and did before their last restarts."""
        return await printed(self._api, service_id, query)

    async def survey(self, account: Account, specs: Sequence[ServiceSpec], known: Collection[str]) -> Survey:
        """What is missing, what is nobody's, and what has not been ready for long."""
        now = self._clock.now()
        view = View(self._api, self._claims, self._cluster, self._app)
        return await survey(view, account, specs=specs, known=known, now=now)

    async def _tell_keys(self, spec: ServiceSpec) -> None:
        """Pods that run on are told of keys that are put back: applying the Secret alone would tell nobody."""
        with suppress(Unavailable):  # there is no Secret: the pods that read the new one are told of nothing else
            await ensure_keys(self._api, spec.service_id, spec.keys)


def _refuse_layout(spec: ServiceSpec) -> None:
    if spec.image_location.startswith("oci:"):
        raise DeployFailed(
            "The image is in a folder of the machine that built it, where no cluster can pull it; set SLIPWAY_REGISTRY, "
            "and build it again.",
            code="ImageNotInRegistry",
        )
