"""One process that answers, from its start until it is told to stop or has to be replaced."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self

from . import logs
from .drivers.driver import Driver
from .http.connection import Connection
from .observing import Observer
from .scoring import Scoring
from .settings import Settings
from .watchdog import watched
from .work.workers import Workers

BACKLOG = 1024
_LAST_WORDS = 5.0  # seconds that observers have to tell what they were told


class Serving:
    """Answers what comes in at `listener` as long as the context lasts.

    At its end the listener is closed, and what has begun to arrive is answered, within the time limit.
    """

    def __init__(self, settings: Settings, scoring: Scoring, listener: socket.socket) -> None:
        self._settings = settings
        self._scoring = scoring
        self._listener = listener
        self._connections: set[Connection] = set()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        # Where processes share the listener, each is to take one connection at a time: the idle ones take more.
        one_by_one = 1 if self._settings.processes > 1 else BACKLOG
        self._server = await loop.create_server(self._connection, sock=self._listener, backlog=one_by_one)
        self._listener.listen(BACKLOG)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._scoring.stopping()
        await self._accept_no_more()
        self._server.close()
        for connection in list(self._connections):
            connection.stop()
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                await self._server.wait_closed()
        except TimeoutError:
            self._server.abort_clients()

    async def _accept_no_more(self) -> None:
        """What was accepted in this turn of the loop becomes a connection within two: a server that is closed before
        forgets the socket, open, and nobody ever answers there."""
        for listener in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        for _ in range(2):
            await asyncio.sleep(0)

    async def unless_stopped[T](self, starting: Awaitable[T]) -> T | None:
        """What comes of that; None when a signal says stop before."""
        work, stopped = asyncio.ensure_future(starting), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None

    async def score(self, driver: Driver, workers: Workers) -> bool:
        """Score with that driver until a signal says stop; False when work hangs, and the process is to be replaced."""
        self._scoring.ready(driver)
        limit = 2 * self._settings.request_timeout
        hung, stopped = (asyncio.ensure_future(event.wait()) for event in (self._scoring.hung, self._stop))
        with watched(limit):
            await asyncio.wait({hung, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if hung.done():
            logs.log("CRITICAL", f"The driver works on a request for more than {limit:g} seconds.\n{workers.stacks()}")
        return not hung.done()

    def _connection(self) -> Connection:
        return Connection(
            self._scoring.answer,
            self._connections,
            max_body=self._settings.max_body,
            arrival=self._settings.request_timeout,
            admission=self._scoring.admission,
        )


async def close(observers: Sequence[Observer]) -> None:
    """Let them tell what they were told, for a bounded time."""
    closing = [asyncio.ensure_future(observer.close()) for observer in observers]
    if closing:
        await asyncio.wait(closing, timeout=_LAST_WORDS)
