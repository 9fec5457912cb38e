"""The workflow that puts back what was deleted of a service by hand."""

from collections.abc import Mapping, Sequence

from shared.domain.accounts import Account
from shared.domain.computing import Computes, ServiceSpec
from shared.domain.documents import Change, Replace
from shared.domain.errors import ServiceError
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.ports import Store
from shared.domain.services import Service
from shared.orchestration.outcome import Done, Failure, Outcome, Step
from shared.resources.applying import applied
from shared.resources.found import found
from shared.resources.specs import Specs


class RestoreService:
    """One step: restore. It asks for what the service's record says, and waits for nothing: the next survey looks."""

    def __init__(self, store: Store, computes: Computes, specs: Specs) -> None:
        self._store = store
        self._computes = computes
        self._specs = specs

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps, by name."""
        return {"restore": self._restore}

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of a cluster that was away all the while."""
        return ServiceError("The service could not be put back by the deadline.", code="RestoreTimedOut", status_code=504)

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
        on = service.document.compute_resource.id
        compute = await self._computes.find(account, on, field="computeResource.id")

        async def put_back(spec: ServiceSpec | None) -> None:
            if spec is not None:
                await compute.ensure_deployment(spec)

        await applied(lambda: self._specs.running(account, service.document), put_back)
        return Done([Replace(service, service.document.restored())])
