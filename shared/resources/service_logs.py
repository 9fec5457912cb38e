"""Use case of services' logs, an extension of api.md: what replicas print, and what those printed that failed."""

from collections.abc import Sequence

from shared.domain.accounts import Account
from shared.domain.computing import Computes, LogQuery, ReplicaLog, ServiceLogs
from shared.domain.ports import Store
from shared.domain.services import Service
from shared.resources.found import found


class PrintedLogs:
    """The logs of an account's services, on every kind of compute."""

    def __init__(self, store: Store, computes: Computes, kept: ServiceLogs) -> None:
        self._store = store
        self._computes = computes
        self._kept = kept

    async def of(self, account: Account, service_id: str, query: LogQuery) -> Sequence[ReplicaLog]:
        """Those of replicas that are there, then those of a deployment that failed last. Raises NotFound and Unavailable.

        What is kept of a failed deployment has ended: a query since a moment leaves it out.
        """
        service = (await found(self._store, account, Service, service_id)).document
        compute = await self._computes.find(account, service.compute_resource.id, field="computeResource.id")
        printed = list(await compute.logs(service_id, query))
        if query.since is not None:
            return printed
        there = {(log.replica, log.run) for log in printed}
        gone = (log for log in await self._kept.kept(account, service_id) if (log.replica, log.run) not in there)
        wanted = (log for log in gone if query.replica in (None, log.replica))
        return [*printed, *(ReplicaLog(log.replica, log.run, log.lines[-query.tail :]) for log in wanted)]
