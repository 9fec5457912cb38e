"""HTTP functions of operations: api.md, 19."""

import azure.functions as func

from functions.answers import operation_status
from functions.endpoint import Call, Reply, endpoint
from shared.domain.operations import AsyncOperationStatus

blueprint = func.Blueprint()


@endpoint(blueprint, "GET", "operations/{id}", version_optional=True, answers={200: AsyncOperationStatus})
async def get_operation(call: Call) -> Reply:
    """The state of an asynchronous operation; alone among the endpoints, takes a missing api-version as the newest."""
    operation = await call.slipway.operations.get(call.account, call.id)
    return Reply(200, operation_status(operation, call.account_url))
