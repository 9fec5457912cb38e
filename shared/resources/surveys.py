"""Surveys: services compared with what there is on their compute. What is not as recorded is put back, what nobody owns is
removed, and the state of a service follows what is seen of it."""

import logging
from collections.abc import Iterator, Sequence

from shared.domain.accounts import Account
from shared.domain.compute_resources import ComputeResourceRecord, compute_resource_id
from shared.domain.computing import Compute, Computes, Observed, Survey
from shared.domain.documents import Insert, Replace, Stored
from shared.domain.errors import PreconditionFailed, ServiceError
from shared.domain.ids import new_id
from shared.domain.plans import RESTORE_SERVICE
from shared.domain.ports import Clock, Store
from shared.domain.services import Repairs, Service
from shared.domain.wire import Json
from shared.resources.every import every
from shared.resources.operations import Operations
from shared.resources.specs import Specs

_logger = logging.getLogger(__name__)
_MOST_NAMED = 20
_AT_ONCE = 20
_LEFTOVERS = ("what an operation that failed has left",)


class Surveys:
    """Surveys the compute resources of an account."""

    def __init__(self, store: Store, clock: Clock, *, operations: Operations, computes: Computes, specs: Specs) -> None:
        self._store = store
        self._clock = clock
        self._operations = operations
        self._computes = computes
        self._specs = specs

    async def survey(self, account: Account) -> None:
        """Look at each once. One that is away is logged, and does not keep the others from being looked at."""
        async for record in every(self._store, account, ComputeResourceRecord):
            try:
                await self._survey(account, record)
            except ServiceError as error:
                _logger.warning("account=%s compute=%s was not surveyed: %s", account.name, record.name, error.message)

    async def _survey(self, account: Account, record: ComputeResourceRecord) -> None:
        compute = await self._computes.find(account, compute_resource_id(account, record.name), field="computeResource.id")
        if compute.supervises:
            return
        on = {"computeName": record.name.lower()}
        services = [service async for service in every(self._store, account, Service, on)]
        settled = [service for service in services if service.operation_id is None]  # nobody is changing them
        specs = [spec for service in settled if (spec := await self._specs.running(account, service))]
        seen = await compute.survey(account, specs, [service.id for service in services])
        for service, observed in self._in_turn(settled, seen):
            await self._follow(account, service, observed)
        for service_id in seen.orphans:
            await self._remove_orphan(account, compute, service_id)

    def _in_turn(self, services: Sequence[Service], seen: Survey) -> Iterator[tuple[Service, Observed]]:
        """What was seen of each; of those that answer and are put back all the same, a few: others wait for the next survey,
        so that a new version of this app does not replace the pods of all services at once."""
        answering = 0
        for service in services:
            observed = _observed(service, seen)
            if observed is None:
                continue
            if observed.ready and self._is_to_be_put_back(service, observed):
                answering += 1
                if answering > _AT_ONCE:
                    continue
            yield service, observed

    async def _remove_orphan(self, account: Account, compute: Compute, service_id: str) -> None:
        """The records were read before compute was asked: one that is there now is no orphan."""
        if await self._store.get(account, Service, service_id) is not None:
            return
        _logger.warning("account=%s service=%s is nobody's, and is removed from its cluster", account.name, service_id)
        try:
            await compute.ensure_withdrawn(service_id)
            await compute.ensure_removed(service_id)
        except ServiceError as error:
            if error.retryable:
                raise  # the others would be asked in vain, too
            _logger.warning("service=%s cannot be removed from its cluster: %s", service_id, error.message)

    async def _follow(self, account: Account, seen: Service, observed: Observed) -> None:
        stored = await self._store.get(account, Service, seen.id)
        if stored is None or stored.document.revision != seen.revision:
            return  # it has changed meanwhile: the next survey looks again
        try:
            if self._is_to_be_put_back(stored.document, observed):
                await self._put_back(account, stored, observed)
            elif observed.error or observed.ready:
                await self._show(account, stored, observed)
        except PreconditionFailed:
            return  # it is being changed

    def _is_to_be_put_back(self, service: Service, observed: Observed) -> bool:
        drift, before = observed.drift[:_MOST_NAMED], service.repairs
        return bool(drift) and (before is None or before.may_follow(drift, self._clock.now()))

    async def _put_back(self, account: Account, stored: Stored[Service], observed: Observed) -> None:
        service, drift, now = stored.document, observed.drift[:_MOST_NAMED], self._clock.now()
        _logger.warning("service=%s %s on its cluster; it is put back", service.id, _difference(observed))
        identifier = new_id(now, self._clock.random_bits)
        found: dict[str, Json] = {"missing": [*observed.missing], "changed": [*observed.changed[:_MOST_NAMED]]}
        operation = self._operations.accepted(
            RESTORE_SERVICE, identifier=identifier, resource_id=service.id, checkpoint=found
        )
        restoring = service.restoring(operation.id, Repairs.after(service.repairs, drift, now))
        await self._store.commit(account, [Replace(stored, restoring), Insert(operation)])
        await self._operations.start(account, operation)

    async def _show(self, account: Account, stored: Stored[Service], observed: Observed) -> None:
        before = stored.document
        service = before.observed(observed.error, observed.scaling_error, drifting=bool(observed.drift))
        if service is before:
            return
        if (service.state, service.error) != (before.state, before.error):
            _logger.warning("service=%s is %s by its cluster", service.id, service.state)
        if service.scaling_error is not None and service.scaling_error != before.scaling_error:
            _logger.warning("service=%s is not scaled: %s", service.id, service.scaling_error.message)
        await self._store.commit(account, [Replace(stored, service)])


def _observed(service: Service, seen: Survey) -> Observed | None:
    """What was seen of it. Nothing is to be there of one that never answered."""
    if service.deployment_id is None and service.id in seen.leftovers:
        return Observed(changed=_LEFTOVERS)
    return seen.services.get(service.id)


def _difference(observed: Observed) -> str:
    lacks, differs = _listed("lacks", observed.missing), _listed("differs in", observed.changed)
    return " and ".join(part for part in (lacks, differs) if part)


def _listed(verb: str, names: Sequence[str]) -> str:
    return f"{verb} {', '.join(names[:_MOST_NAMED])}" if names else ""
