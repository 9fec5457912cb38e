"""The life of one replica: listen, bring the driver up, answer, stop."""

import asyncio
import gc
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from . import logs
from .connection import Connection
from .driver import DriverFailed, load
from .isolation import leave_to_driver
from .scoring import Scoring
from .settings import Settings
from .workers import Workers

_BACKLOG = 1024
_STDIN = 0


def main() -> int:
    """Serve until SIGTERM, and return 0; or 1 when the driver does not come up: its traceback is the last that is said."""
    settings = _settings()
    leave_to_driver(Path.cwd(), settings.dependencies)
    if settings.exit_with_parent:
        threading.Thread(target=_exit_with_parent, name="parent", daemon=True).start()
    logs.capture()
    try:
        asyncio.run(serve(settings))
    except DriverFailed as failed:
        logs.log("CRITICAL", f"The driver did not start: {_summary(failed.__cause__)}")
        traceback.print_exception(failed.__cause__, file=sys.__stderr__)
        return 1
    return 0


def _settings() -> Settings:
    try:
        return Settings.of(os.environ)
    except ValueError as error:
        raise SystemExit(str(error)) from error


def _summary(error: BaseException | None) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _exit_with_parent() -> None:
    """Whoever holds the other end of standard input is gone when it ends, and so is whoever waits for an answer."""
    while os.read(_STDIN, 4096):
        pass
    os._exit(0)


async def serve(settings: Settings) -> None:
    """Answer from the start, score when the driver is up, and return when a signal said stop and what was under way is done.

    Raises DriverFailed when the driver does not come up.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    scoring = Scoring(settings, Path.cwd())
    connections: set[Connection] = set()
    listener = await _listen(settings, scoring, connections)
    await _until_stopped(stop, asyncio.create_task(_bring_up(settings, scoring)))
    scoring.stopping()
    await _drain(listener, connections, settings.request_timeout)


async def _listen(settings: Settings, scoring: Scoring, connections: set[Connection]) -> asyncio.Server:
    def connection() -> Connection:
        return Connection(scoring.answer, connections, max_body=settings.max_body, arrival=settings.request_timeout)

    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(connection, settings.host, settings.port, backlog=_BACKLOG)
    except OSError as error:
        raise SystemExit(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error


async def _bring_up(settings: Settings, scoring: Scoring) -> None:
    driver = await load(Path.cwd() / settings.driver, Workers(settings.max_concurrency))
    gc.collect()
    gc.freeze()  # a model is not garbage: the collector need not walk through it again and again
    scoring.ready(driver)
    logs.log("INFO", f"{settings.driver} is ready; its run takes {driver.body_form}.")


async def _until_stopped(stop: asyncio.Event, starting: asyncio.Task[None]) -> None:
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
    await stopped


async def _drain(listener: asyncio.Server, connections: set[Connection], seconds: float) -> None:
    listener.close()
    for connection in list(connections):
        connection.stop()
    try:
        async with asyncio.timeout(seconds):
            await listener.wait_closed()
    except TimeoutError:
        listener.abort_clients()
