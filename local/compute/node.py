"""The node: its services, by id and by name. Commands return when what they ask for is kept."""

import asyncio
from pathlib import Path

import aiohttp

from local.compute.background import Background
from local.compute.contents import Contents, in_image
from local.compute.grants import Grants
from local.compute.launcher import Launcher
from local.compute.limits import Limits
from local.compute.logs import Logs
from local.compute.service import Ground, Service
from local.compute.state import Deployment, ServiceFiles, ServiceState
from local.compute.threads import in_thread
from shared.compute.local_process import KeyDigests, ReplicaLogs, RolloutStatus
from shared.domain.computing import LogQuery
from shared.domain.errors import Conflict, NotFound


class Node:
    """Services and what they stand on. Every command may be repeated harmlessly."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession, grants: Grants, limits: Limits) -> None:
        self._contents = Contents(folder / "images")
        self._logs = Logs(folder / "logs", in_image(folder), limits.most_log)
        self._limits = limits
        self._background = Background()
        self._ground = Ground(
            files=ServiceFiles(folder / "services"),
            launcher=Launcher(folder / "replicas", self._contents, self._logs, grants, limits),
            logs=self._logs,
            session=session,
            limits=limits,
            changed=self._changed,
        )
        self._services: dict[str, Service] = {}
        self._by_name: dict[str, Service] = {}

    def start(self) -> None:
        """Bring back the services that were there when the node last ran."""
        for state in self._ground.files.load():
            self._services[state.id] = Service(state, self._ground)
        for service in self._services.values():
            service.run()
        self._changed()

    async def stop(self) -> None:
        """Stop all replicas now; the services stay what they are to be."""
        self._ground.launcher.hurry()
        await asyncio.gather(*(service.stop() for service in self._services.values()))
        await self._background.stop()

    def named(self, name: str) -> Service | None:
        """The service that takes the calls of that name."""
        return self._by_name.get(name)

    def deploy(self, service_id: str, deployment: Deployment) -> None:
        """Begin that deployment; raises Conflict when the name is another service's, or the service is withdrawn."""
        holder = self._by_name.get(deployment.service_name)
        if holder and holder.state.id != service_id:
            raise Conflict(
                f"This machine runs a service named '{deployment.service_name}' already; its front end tells services "
                "apart by name, whatever account they are in. Choose another name, or delete that service.",
                code="ServiceNameTaken",
            )
        self._service(service_id).deploy(deployment)

    def rollout(self, service_id: str, deployment_id: str) -> RolloutStatus:
        """How that deployment fares; raises NotFound when it was never asked for."""
        service = self._services.get(service_id)
        if service is None:
            raise NotFound(f"There is no service {service_id} here.", code="ServiceNotFound")
        return service.rollout(deployment_id)

    def roll_back(self, service_id: str, deployment_id: str) -> None:
        """Give that deployment up."""
        self._service(service_id).roll_back(deployment_id)

    def change_keys(self, service_id: str, keys: KeyDigests) -> None:
        """These keys are good from now on, and no others."""
        self._service(service_id).change_keys(keys)

    def withdraw(self, service_id: str) -> None:
        """The service takes no more calls, those of a deployment that is still to be asked for included."""
        self._service(service_id).withdraw()

    async def printed(self, service_id: str, query: LogQuery) -> ReplicaLogs:
        """What the service's replicas have printed; nothing of one that is not here."""
        return await in_thread(lambda: ReplicaLogs(logs=tuple(self._logs.printed(service_id, query))))

    async def remove(self, service_id: str) -> None:
        """Returns when nothing of the service is left."""
        if service_id not in self._services:
            return
        self.withdraw(service_id)
        await self._services[service_id].retire()
        self._ground.files.remove(service_id)
        self._logs.remove(service_id)
        self._services.pop(service_id, None)
        self._changed()

    def _service(self, service_id: str) -> Service:
        if service_id not in self._services:
            self._services[service_id] = Service(ServiceState(id=service_id), self._ground)
        return self._services[service_id]

    def _changed(self) -> None:
        """Find services by the names they have now, and remove the images that none needs any more."""
        self._by_name = {service.state.name: service for service in self._services.values() if service.state.name}
        self._background.start(self._contents.keep_only(self._digests))

    def _digests(self) -> set[str]:
        return {digest for service in self._services.values() for digest in service.digests()}
