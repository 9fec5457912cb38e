"""Timer functions: the sweep, which finds what a lost wake-up left behind; surveys of clusters; retention; and garbage."""

import logging

import azure.functions as func

from shared.bootstrap import slipway

_logger = logging.getLogger(__name__)

blueprint = func.Blueprint()


@blueprint.function_name("sweep_operations")
@blueprint.timer_trigger(arg_name="timer", schedule="*/30 * * * * *")
async def sweep_operations(timer: func.TimerRequest) -> None:
    """Wake every operation that is due and that nobody works on."""
    for account in slipway().accounts:
        woken = await slipway().engine.sweep(account)
        if woken:
            _logger.info("sweep of %s woke %d operations%s", account.name, woken, ", late" if timer.past_due else "")


@blueprint.function_name("sweep_outboxes")
@blueprint.timer_trigger(arg_name="timer", schedule="15/30 * * * * *")
async def sweep_outboxes(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host gives it
    """Publish what still waits in an outbox: its wake-up was lost, or its endpoint was away."""
    for account in slipway().accounts:
        for publisher in slipway().publishers:
            if await publisher.waiting(account):
                slipway().outbox_wake_ups.announce(account)


@blueprint.function_name("survey_services")
@blueprint.timer_trigger(arg_name="timer", schedule="30 * * * * *")
async def survey_services(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host gives it
    """Compare services with what there is on their clusters: put back, remove, and follow how they fare."""
    for account in slipway().accounts:
        await slipway().surveys.survey(account)


@blueprint.function_name("remove_expired")
@blueprint.timer_trigger(arg_name="timer", schedule="0 17 * * * *")
async def remove_expired(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host gives it
    """Remove operations that ended long ago, and requests that will not come again."""
    for account in slipway().accounts:
        removed = await slipway().retention.remove(account)
        if removed:
            _logger.info("retention of %s removed %d documents", account.name, removed)


@blueprint.function_name("collect_garbage")
@blueprint.timer_trigger(arg_name="timer", schedule="0 43 3 * * *")
async def collect_garbage(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host gives it
    """Remove what builds leave behind that nobody needs any more, or say what would be removed."""
    await slipway().collect_garbage()
