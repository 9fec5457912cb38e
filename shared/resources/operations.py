"""Operations: accepting work, waking it, showing how it fares, giving it up. Source: api.md, 19."""

import logging
from collections.abc import Mapping

from shared.domain.accounts import Account
from shared.domain.documents import Page, Replace
from shared.domain.errors import Conflict, PreconditionFailed, ServiceError
from shared.domain.filters import OperationFilters
from shared.domain.operations import Operation, State, StepStatus
from shared.domain.plans import DELETE_SERVICE, PLANS, Plan
from shared.domain.ports import NO_TELEMETRY, Clock, Store, Telemetry, WakeUps
from shared.domain.tracing import trace_parent
from shared.domain.wire import Json
from shared.resources.found import found
from shared.resources.repeatability import UNREPEATED, Once, remember
from shared.resources.tags import UNCONDITIONAL, Preconditions
from shared.resources.transitions import Transitions

_logger = logging.getLogger(__name__)


class Operations:
    """The operations of an account."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        wake_ups: WakeUps,
        plans: Mapping[str, Plan] = PLANS,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake_ups = wake_ups
        self._plans = plans
        self._transitions = Transitions(telemetry)

    def accepted(
        self,
        workflow: str,
        *,
        identifier: str,
        resource_id: str,
        checkpoint: dict[str, Json],
        steps: tuple[str, ...] = (),
    ) -> Operation:
        """A new operation of that workflow, to be committed with what it is about; `steps` when it has fewer than all."""
        now, plan = self._clock.now(), self._plans[workflow]
        planned = steps or plan.steps
        return Operation(
            id=identifier,
            operation_type=plan.operation_type,
            created_time=now,
            resource_id=resource_id,
            workflow=workflow,
            step=planned[0],
            steps=tuple(StepStatus(name=step) for step in planned),
            checkpoint=checkpoint,
            not_before=now,
            deadline=now + plan.deadline,
            trace_parent=trace_parent.get(),
        )

    async def start(self, account: Account, operation: Operation) -> None:
        """Tell of what was committed, and wake it. Never fails: what is not woken here is found by the sweep."""
        self._transitions.tell(None, operation, "Accepted")
        await self._wake(account, operation)

    def tell_cancelled(self, operation: Operation) -> None:
        """Tell of one that was cancelled with the resource it is about, and not by the engine, which tells by itself."""
        self._transitions.tell(operation, operation.cancelled(self._clock.now()), "Cancelled")

    async def _wake(self, account: Account, operation: Operation) -> None:
        try:
            await self._wake_ups.wake(account, operation)
        except ServiceError as error:
            _logger.warning("operation=%s: not woken, the sweep will: %s", operation.id, error.message)

    async def get(self, account: Account, identifier: str) -> Operation:
        """One operation; raises NotFound."""
        return (await found(self._store, account, Operation, identifier)).document

    async def page(self, account: Account, filters: OperationFilters, count: int, after: str | None) -> Page[Operation]:
        """Operations that fit the filters, newest first."""
        return await self._store.page(account, Operation, filters.given(), count=count, after=after)

    async def cancel(
        self,
        account: Account,
        identifier: str,
        once: Once = UNREPEATED,
        *,
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> Operation:
        """Have it given up, as soon as the step in hand allows; what it did is taken back.

        Harmless when that was asked before. Raises NotFound, and Conflict for one that ends or has ended otherwise, and
        for a delete, and PreconditionFailed.
        """
        while True:
            stored = await found(self._store, account, Operation, identifier)
            operation = stored.document
            preconditions.check(operation.tag)
            if operation.state is State.CANCELLED or (operation.cancel_requested and not operation.state.terminal):
                await remember(self._store, account, once, operation)
                return operation
            _refuse_uncancellable(operation)
            cancelling = operation.cancelling(self._clock.now())
            try:
                await self._store.commit(account, [*once.recording(cancelling), Replace(stored, cancelling)])
            except PreconditionFailed:
                continue
            await self._wake(account, cancelling)
            return cancelling


def _refuse_uncancellable(operation: Operation) -> None:
    if operation.state.terminal:
        raise Conflict(f"operation {operation.id} has ended: it is {operation.state}.", code="OperationEnded")
    if operation.undoing:
        raise Conflict(f"operation {operation.id} has failed, and takes back what it did.", code="OperationEnded")
    if operation.workflow == DELETE_SERVICE:
        raise Conflict(f"operation {operation.id} deletes a service, which cannot be taken back.", code="NotCancellable")
