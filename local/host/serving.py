"""The host's life: start the app, listen, and on a signal let what runs finish."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local.host import config, routes, triggers, worker
from local.host.http import HttpFunctions
from local.host.refusal import Refused
from local.host.server import HttpListener
from local.host.stopping import Stopping
from local.host.timers import TimerListener
from local.host.triggers import HttpTrigger, QueueTrigger, TimerTrigger, Trigger

_log = logging.getLogger(__name__)

_LAST_WORDS = 2.0  # seconds in which what is cut off may clean up


@dataclass(frozen=True)
class Options:
    """The command line: `state` is where timers keep their status, None for nowhere; `drain` is in seconds.

    `exit_with_parent` stops the host when its standard input ends, which whoever started it holds open.
    """

    app: Path
    host: str
    port: int
    state: Path | None
    drain: float
    exit_with_parent: bool


class Listener(Protocol):
    """Something that calls functions."""

    async def run(self, stopping: Stopping) -> None:
        """Until asked to stop, and then until what runs has finished."""


async def serve(options: Options) -> None:
    """Host the app until it is asked to stop, then drain.

    Raises Refused when it cannot be hosted. Does not return when the drain was cut short: the process ends instead.
    """
    stopping = Stopping()
    _obey(stopping, exit_with_parent=options.exit_with_parent)
    settings = config.read(options.app)
    app = await worker.start(options.app)
    listeners = _listeners(app, triggers.read(app.functions, os.environ), settings, options)
    running = {asyncio.create_task(listener.run(stopping)) for listener in listeners}
    running.add(asyncio.create_task(stopping.wait()))
    ended, rest = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    stopping.ask()
    await _drained(rest, options.drain)
    await asyncio.gather(*ended, *rest)


def _obey(stopping: Stopping, *, exit_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.ask)

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stopping.ask()

    if exit_with_parent:
        loop.add_reader(0, read)


def _listeners(
    app: worker.Worker, found: tuple[Trigger, ...], settings: config.HostConfig, options: Options
) -> list[Listener]:
    paths = routes.table((trigger for trigger in found if isinstance(trigger, HttpTrigger)), settings.route_prefix)
    timers = options.state and options.state / "timers"
    return [
        *(TimerListener(trigger, app, timers) for trigger in found if isinstance(trigger, TimerTrigger)),
        *_queue_listeners([trigger for trigger in found if isinstance(trigger, QueueTrigger)], app, settings),
        HttpListener(HttpFunctions(app, paths, config.largest_body(os.environ)), _bound(options.host, options.port)),
    ]


def _queue_listeners(found: list[QueueTrigger], app: worker.Worker, settings: config.HostConfig) -> Iterator[Listener]:
    if found:
        from local.host.queues import QueueListener  # noqa: PLC0415 - half a second, which an app without queues saves

        yield from (QueueListener(trigger, app, settings.queues) for trigger in found)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048, family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Refused(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


async def _drained(running: set[asyncio.Task[None]], seconds: float) -> None:
    """Wait that long for what runs; what still does is cancelled, and left behind."""
    _, late = await asyncio.wait(running, timeout=seconds) if running else (set(), set())
    if not late:
        return
    _log.warning("still running after %g s, and cut off", seconds)
    everything = asyncio.all_tasks() - {asyncio.current_task()}
    for task in everything:
        task.cancel()
    await asyncio.wait(everything, timeout=_LAST_WORDS)
    logging.shutdown()
    os._exit(0)  # threads cannot be cancelled, and leaving in any other way would wait for them
