"""The workflow that clears what a deleted service leaves behind: it took no calls from the moment DELETE answered."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.computing import Computes, ServiceLogs
from shared.domain.documents import Change, Release
from shared.domain.errors import ServiceError
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.ports import Store
from shared.orchestration.cancelling import still_leased
from shared.orchestration.outcome import Done, Failure, Next, Outcome, Step, Wait
from shared.resources.services import deleting_claim

_LOOK_AGAIN = timedelta(seconds=2)


class DeleteService:
    """Steps: begin → clear. The checkpoint names the compute resource, and the operation that was cancelled."""

    def __init__(self, store: Store, computes: Computes, logs: ServiceLogs) -> None:
        self._store = store
        self._computes = computes
        self._logs = logs

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps, by name."""
        return {"begin": self._begin, "clear": self._clear}

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of a clearing that could not be done in a day."""
        return ServiceError(
            "What the deleted service left could not be cleared by the deadline.", code="DeleteTimedOut", status_code=504
        )

    async def undo(self, account: Account, operation: Operation) -> None:
        """A delete is not taken back."""

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse, *, undone: bool) -> Failure:
        """The service is gone all the same; the operation says what was left."""
        return Failure(error, [Release(deleting_claim(operation.resource_id))])

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        """Never asked for: a delete cannot be cancelled."""
        return [Release(deleting_claim(operation.resource_id))]

    async def _begin(self, account: Account, operation: Operation) -> Outcome:
        """Wait until no worker can still be at work on the update that the delete has cancelled."""
        return await still_leased(self._store, account, operation) or Next("clear")

    async def _clear(self, account: Account, operation: Operation) -> Outcome:
        on = str(operation.checkpoint["computeResourceId"])
        compute = await self._computes.find(account, on, field="computeResource.id")
        await compute.ensure_withdrawn(operation.resource_id)
        ending = await compute.ensure_removed(operation.resource_id)
        if ending:
            return Wait(_LOOK_AGAIN, ending)
        await self._logs.remove(account, operation.resource_id)
        return Done([Release(deleting_claim(operation.resource_id))])
