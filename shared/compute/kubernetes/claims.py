"""Claims of addresses: of services that want one address, whatever account, app or namespace they are of, one gets it."""

import asyncio
from collections.abc import Mapping

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.kinds import SECRET, Object
from shared.compute.kubernetes.names import CLAIM, SERVICE_ID, SERVICE_NAME, selector
from shared.compute.kubernetes.objects import claim, claim_name, is_claimed_by, of_app, route_kind
from shared.compute.kubernetes.objects.front_end import place, places
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec
from shared.domain.errors import Conflict, Unavailable


class Claims:
    """The claims of one app at one front end. `holding` is a client of the namespace that they are in, `routes` of that of
    services."""

    def __init__(self, cluster: ClusterSettings, *, app: str, holding: KubernetesApi, routes: KubernetesApi) -> None:
        self._cluster = cluster
        self._app = app
        self._holding = holding
        self._routes = routes

    async def ensure(self, spec: ServiceSpec, *, may_be_held: bool) -> None:
        """The service's address is claimed for it. Raises Conflict when another service has it.

        `may_be_held` only tells what to ask for first.
        """
        held = await self._held(spec) if may_be_held else None
        if held is None:
            await self._refuse_routed(spec)
            held = await self._holding.create(of_app(claim(spec, self._cluster), self._app)) or await self._held(spec)
        if held is None:
            raise Unavailable("The address was given up by another service just now.", code="ClusterUnavailable")
        if not is_claimed_by(held, spec.service_id):
            raise self._taken(spec)

    async def of(self, labels: str) -> Mapping[str, Object]:
        """The claims of objects with those labels, by their names."""
        return {each["metadata"]["name"]: each for each in await self._holding.list(SECRET, f"{labels},{CLAIM}")}

    async def release(self, service_id: str) -> None:
        """The service claims nothing any more."""
        held = await self.of(selector(service_id))
        await asyncio.gather(*(self._holding.delete(SECRET, name) for name in held))

    async def _held(self, spec: ServiceSpec) -> Object | None:
        return await self._holding.get(SECRET, claim_name(spec, self._cluster))

    async def _refuse_routed(self, spec: ServiceSpec) -> None:
        """Services that came before there were claims have routes only."""
        wanted = place(spec, self._cluster)
        for route in await self._routes.list(route_kind(self._cluster), f"{SERVICE_NAME}={spec.service_name}"):
            if wanted in places(route) and route["metadata"]["labels"].get(SERVICE_ID) != spec.service_id:
                raise self._taken(spec)

    def _taken(self, spec: ServiceSpec) -> Conflict:
        address = self._cluster.front_end.service_uri(spec.account, spec.service_name)
        return Conflict(
            f"Another service named '{spec.service_name}' is called at {address} already; the front end tells services "
            "apart by their paths, whatever account or app they are of. Choose another name, delete it, or name the account "
            "in frontEnd.path.",
            code="ServiceNameTaken",
        )
