"""The workflow that makes of a service on its compute what its record says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.computing import Compute, Computes, ServiceSpec
from shared.domain.documents import Change, Replace, Stored
from shared.domain.errors import ServiceError, foreign
from shared.domain.fencing import LeaseLost
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.ports import Store
from shared.domain.services import Service
from shared.orchestration.outcome import Done, Failure, Outcome, Step, Wait
from shared.resources.applying import applied
from shared.resources.found import found
from shared.resources.specs import Specs

_LOOK_AGAIN = timedelta(seconds=2)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=10)
_FAILED_AFTER = timedelta(minutes=5)
_SAID = 500


class RestoreService:
    """One step: restore. It asks for what the service's record says, ever less often while that is refused, and does not
    wait for replicas: the next survey looks. Of a service that never answered, what there is goes."""

    def __init__(self, store: Store, computes: Computes, specs: Specs) -> None:
        self._store = store
        self._computes = computes
        self._specs = specs

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps, by name."""
        return {"restore": self._restore}

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of what was refused all the while."""
        waited = f" It waited for {operation.waiting_for}." if operation.waiting_for else ""
        message = f"The service could not be put back by the deadline.{waited}"
        return ServiceError(message, code="RestoreTimedOut", status_code=504)

    async def undo(self, account: Account, operation: Operation) -> None:
        """What was put back stays."""

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse, *, undone: bool) -> Failure:
        """The service is as it was; the next survey tries again."""
        return Failure(error, await self.cancelled(account, operation))

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        """The service is as it was."""
        service = await found(self._store, account, Service, operation.resource_id)
        return [Replace(service, service.document.restored())]

    async def _restore(self, account: Account, operation: Operation) -> Outcome:
        service = await found(self._store, account, Service, operation.resource_id)
        try:
            ending = await self._put_back(account, service.document)
        except LeaseLost:
            raise
        except ServiceError as error:
            return _again(service, _Tries.of(operation), error)
        return Wait(_LOOK_AGAIN, ending) if ending else Done([Replace(service, service.document.restored())])

    async def _put_back(self, account: Account, service: Service) -> str:
        on = service.compute_resource.id
        compute = await self._computes.find(account, on, field="computeResource.id")
        if service.deployment_id is None:
            return await _cleared(compute, service.id)

        async def put_back(spec: ServiceSpec | None) -> None:
            if spec is not None:
                await compute.ensure_deployment(spec)

        await applied(lambda: self._specs.running(account, service), put_back)
        return ""


@dataclass(frozen=True)
class _Tries:
    """How often it was tried so far, and the pauses in between."""

    count: int

    @classmethod
    def of(cls, operation: Operation) -> "_Tries":
        count = operation.checkpoint.get("tries", 0)
        return cls(count if isinstance(count, int) else 0)

    @property
    def pause(self) -> timedelta:
        """Until the next one: twice the last one, up to the longest."""
        return min(_FIRST_PAUSE * (1 << min(self.count, 16)), _LONGEST_PAUSE)

    @property
    def took(self) -> timedelta:
        """All pauses before this one."""
        return sum((_Tries(before).pause for before in range(min(self.count, 64))), timedelta(0))


def _again(service: Stored[Service], tries: _Tries, error: ServiceError) -> Wait:
    """It goes on; after five minutes the service has failed, for that cause."""
    response = ErrorResponse.of(error)
    failing = tries.took >= _FAILED_AFTER and service.document.error != response
    changes = [Replace(service, service.document.not_restored(response))] if failing else []
    return Wait(tries.pause, foreign(error.message, _SAID), {"tries": tries.count + 1}, changes)


async def _cleared(compute: Compute, service_id: str) -> str:
    await compute.ensure_withdrawn(service_id)
    return await compute.ensure_removed(service_id)
