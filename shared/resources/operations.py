"""Operations: accepting work, waking it, and showing how it fares. Source: api.md, 19."""

import logging
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.errors import ServiceError
from shared.domain.operations import Operation, OperationType
from shared.domain.ports import Clock, Store, WakeUps
from shared.domain.wire import Json
from shared.resources.found import found

_logger = logging.getLogger(__name__)

BUILD_IMAGE = "build-image"
DEPLOY_SERVICE = "deploy-service"
DELETE_SERVICE = "delete-service"

FIRST_STEP = "begin"

DEADLINES = {
    BUILD_IMAGE: timedelta(minutes=30),
    DEPLOY_SERVICE: timedelta(minutes=10),
    DELETE_SERVICE: timedelta(hours=24),
}
TYPES = {
    BUILD_IMAGE: OperationType.IMAGE,
    DEPLOY_SERVICE: OperationType.SERVICE,
    DELETE_SERVICE: OperationType.SERVICE,
}


def accepted(clock: Clock, workflow: str, *, identifier: str, resource_id: str, checkpoint: dict[str, Json]) -> Operation:
    """A new operation of that workflow, to be committed with what it is about."""
    now = clock.now()
    return Operation(
        id=identifier,
        operation_type=TYPES[workflow],
        created_time=now,
        resource_id=resource_id,
        workflow=workflow,
        step=FIRST_STEP,
        checkpoint=checkpoint,
        not_before=now,
        deadline=now + DEADLINES[workflow],
    )


class Operations:
    """The operations of an account."""

    def __init__(self, store: Store, wake_ups: WakeUps) -> None:
        self._store = store
        self._wake_ups = wake_ups

    async def get(self, account: Account, identifier: str) -> Operation:
        """One operation; raises NotFound."""
        return (await found(self._store, account, Operation, identifier)).document

    async def start(self, account: Account, operation: Operation) -> None:
        """Wake what was committed. Never fails: what is not woken here is found by the sweep."""
        try:
            await self._wake_ups.wake(account, operation.id)
        except ServiceError as error:
            _logger.warning("operation %s was accepted but not woken, the sweep will: %s", operation.id, error.message)
