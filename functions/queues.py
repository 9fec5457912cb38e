"""Queue functions: wake-ups run operations a step at a time; what redelivery gave up on is closed."""

import logging

import azure.functions as func

from shared.bootstrap import slipway
from shared.domain.errors import InvalidRequest
from shared.storage.queues import WAKE_UPS, parse_wake_up

_logger = logging.getLogger(__name__)

blueprint = func.Blueprint()


@blueprint.function_name("run_operation")
@blueprint.queue_trigger(arg_name="message", queue_name=WAKE_UPS, connection="AzureWebJobsStorage")
async def run_operation(message: func.QueueMessage) -> None:
    """Run the step that is due of the operation that the wake-up names."""
    account, operation_id = parse_wake_up(message.get_body())
    await slipway().engine.run(account, operation_id)


@blueprint.function_name("close_operation")
@blueprint.queue_trigger(arg_name="message", queue_name=f"{WAKE_UPS}-poison", connection="AzureWebJobsStorage")
async def close_operation(message: func.QueueMessage) -> None:
    """End the operation of a wake-up that failed too often, with the cause that was recorded; drop what never was one."""
    try:
        account, operation_id = parse_wake_up(message.get_body())
    except InvalidRequest as garbled:
        _logger.error("message %s is dropped: %s", message.id, garbled.message)
        return
    await slipway().engine.close(account, operation_id)
