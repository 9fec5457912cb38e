"""Queue function of commands: machines drive Slipway by queue, as people do by HTTP."""

import azure.functions as func

from shared.bootstrap import slipway
from shared.domain.errors import ServiceError
from shared.events.format import read_command
from shared.storage.queues import COMMANDS

blueprint = func.Blueprint()


@blueprint.function_name("run_command")
@blueprint.queue_trigger(arg_name="message", queue_name=COMMANDS, connection="AzureWebJobsStorage")
async def run_command(message: func.QueueMessage) -> None:
    """Carry out a command. A bad one goes to the poison queue with its ErrorResponse, one that can heal comes again."""
    text = message.get_body().decode(errors="replace")
    try:
        command = read_command(text)
        with slipway().telemetry.span(command.type, command.trace_parent):
            await slipway().commands.carry_out(command)
    except ServiceError as error:
        await slipway().command_failures.settle(text, error)
