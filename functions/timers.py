"""Timer functions: the sweep, which finds what a lost wake-up left behind."""

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
