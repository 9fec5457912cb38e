"""Queue functions: wake-ups run operations a step at a time; what redelivery gave up on is closed."""

import logging

import azure.functions as func

from shared.bootstrap import slipway
from shared.domain.errors import InvalidRequest, ServiceError
from shared.storage.queues import BUILDS, OUTBOX, WAKE_UPS, parse_outbox_wake_up, parse_wake_up

_logger = logging.getLogger(__name__)

blueprint = func.Blueprint()


@blueprint.function_name("run_operation")
@blueprint.queue_trigger(arg_name="message", queue_name=WAKE_UPS, connection="AzureWebJobsStorage")
async def run_operation(message: func.QueueMessage) -> None:
    """Run the step that is due of the operation that the wake-up names."""
    await _run(message)


@blueprint.function_name("run_build")
@blueprint.queue_trigger(arg_name="message", queue_name=BUILDS, connection="AzureWebJobsStorage")
async def run_build(message: func.QueueMessage) -> None:
    """The same for what may take long, so that nothing else waits behind it."""
    await _run(message)


@blueprint.function_name("publish_events")
@blueprint.queue_trigger(arg_name="message", queue_name=OUTBOX, connection="AzureWebJobsStorage")
async def publish_events(message: func.QueueMessage) -> None:
    """Publish what waits in an account's outbox. What cannot be sent now waits there, and the timer asks again."""
    account = parse_outbox_wake_up(message.get_body())
    for publisher in slipway().publishers:
        try:
            await publisher.publish(account)
        except ServiceError as error:
            _logger.warning("outbox of %s: left to the timer: %s", account.name, error.message)


@blueprint.function_name("close_operation")
@blueprint.queue_trigger(arg_name="message", queue_name=f"{WAKE_UPS}-poison", connection="AzureWebJobsStorage")
async def close_operation(message: func.QueueMessage) -> None:
    """End the operation of a wake-up that failed too often, with the cause that was recorded; drop what never was one."""
    await _close(message)


@blueprint.function_name("close_build")
@blueprint.queue_trigger(arg_name="message", queue_name=f"{BUILDS}-poison", connection="AzureWebJobsStorage")
async def close_build(message: func.QueueMessage) -> None:
    """The same for builds."""
    await _close(message)


async def _run(message: func.QueueMessage) -> None:
    wake_up = parse_wake_up(message.get_body())
    with slipway().telemetry.span("run_operation", wake_up.trace_parent):
        await slipway().engine.run(wake_up.account, wake_up.operation_id)


async def _close(message: func.QueueMessage) -> None:
    try:
        wake_up = parse_wake_up(message.get_body())
    except InvalidRequest as garbled:
        _logger.error("message %s is dropped: %s", message.id, garbled.message)
        return
    await slipway().engine.close(wake_up.account, wake_up.operation_id)
