"""HTTP functions of operations: api.md, 19; listing and cancelling are extensions of it."""

import math
from dataclasses import replace

import azure.functions as func

from functions.answers import PaginatedOperationList, operation_status
from functions.endpoint import Call, endpoint
from functions.listing import listed
from functions.replies import Reply
from shared.domain.filters import OperationFilters
from shared.domain.operations import AsyncOperationStatus, Operation
from shared.identity.roles import Role

blueprint = func.Blueprint()

_LONGEST_PAUSE = 15


@endpoint(blueprint, "GET", "operations", filters=OperationFilters, paged=True, answers={200: PaginatedOperationList})
async def list_operations(call: Call) -> Reply:
    """List the account's operations, newest first, in pages."""
    page = await listed(call, "operations", OperationFilters, call.slipway.operations.page)
    shown = tuple(operation_status(operation, call.account_url) for operation in page.items)
    return Reply(200, PaginatedOperationList(value=shown, next_link=page.next_link))


@endpoint(blueprint, "GET", "operations/{id}", version_optional=True, answers={200: AsyncOperationStatus}, conditional=True)
async def get_operation(call: Call) -> Reply:
    """The state of an asynchronous operation; alone among the endpoints, takes a missing api-version as the newest."""
    operation = await call.slipway.operations.get(call.account, call.id)
    shown = call.shown(operation, operation_status(operation, call.account_url))
    return replace(shown, headers={**shown.headers, **_when_to_look_again(call, operation)})


@endpoint(blueprint, "POST", "operations/{id}/cancel", role=Role.CONTRIBUTOR, answers={202: None}, conditional=True)
async def cancel_operation(call: Call) -> Reply:
    """Give an operation up: it is Cancelled as soon as the step in hand allows, and what it did is taken back."""
    identifier, cancel = call.id, call.slipway.operations.cancel
    operation = await call.once(
        Operation, lambda once: cancel(call.account, identifier, once, preconditions=call.preconditions)
    )
    return call.accepted(operation)


def _when_to_look_again(call: Call, operation: Operation) -> dict[str, str]:
    if operation.state.terminal:
        return {}
    pause = (operation.not_before - call.slipway.now()).total_seconds()
    return {"Retry-After": str(min(max(math.ceil(pause), 1), _LONGEST_PAUSE))}
