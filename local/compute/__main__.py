"""`python -m local.compute`: the compute node of this machine, until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import override

from local import logs
from local.compute.ending import end_within
from local.compute.limits import Limits
from local.compute.serving import Options, StateInUse, serving
from shared.settings.compute import collection_targets
from shared.storage.connection import StorageSettingError

TOKEN = "SLIPWAY_LOCAL_COMPUTE_TOKEN"  # noqa: S105  the name of the setting
EXIT_WITH_PARENT = "SLIPWAY_EXIT_WITH_PARENT"

_logger = logging.getLogger("local.compute")


class _EndOfInput(asyncio.Protocol):
    """Sets an event when the process that holds the other end of standard input has ended."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()


def main() -> int:
    """0 after a stop that was asked for, 1 when the node cannot start."""
    logs.configure()
    options = _options()
    if not options.token:
        _logger.error("The setting %s is missing.", TOKEN)
        return 1
    try:
        asyncio.run(_run(options))
    except (OSError, StateInUse, StorageSettingError) as error:
        _logger.error("%s", error)
        return 1
    return 0


async def _run(options: Options) -> None:
    stop, limits = await _asked_to_stop(), Limits()
    async with serving(options, limits) as addresses:
        _logger.info("listening: control %s, front end %s", addresses.control, addresses.front_end)
        await stop.wait()
        end_within(limits.stop)


async def _asked_to_stop() -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if os.environ.get(EXIT_WITH_PARENT) == "1":
        await loop.connect_read_pipe(lambda: _EndOfInput(stop), sys.stdin)
    return stop


def _options() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m local.compute",
        description=f"Run services as processes of this machine. The control API's token is in {TOKEN}.",
    )
    parser.add_argument("--state", type=Path, required=True, help="the folder of services, images and logs")
    parser.add_argument("--control-port", type=int, required=True, help="0 for a free one, which the log then names")
    parser.add_argument("--front-end-port", type=int, required=True, help="0 for a free one, which the log then names")
    given = parser.parse_args()
    token, targets = os.environ.get(TOKEN, ""), collection_targets(os.environ)
    return Options(given.state.resolve(), given.control_port, given.front_end_port, token, targets)


if __name__ == "__main__":
    sys.exit(main())
