"""Connections on which no request came: closed after a while, so that half-sent requests hold nothing for long.

aiohttp closes connections that are idle between two requests; before the first it waits for ever.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from local.compute.answers import Handler

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

_LOOKS = 4
"""How often connections are looked at within the time that they have."""


class Silence:
    """Knows which connections of a listener have brought a request, and ends the others after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._heard: set[RequestHandler] = set()
        self._since: dict[RequestHandler, float] = {}

    def hear(self, application: web.Application) -> None:
        """Hear the requests of that application."""

        @web.middleware
        async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._heard.add(request.protocol)
            return await handler(request)

        application.middlewares.insert(0, heard)

    @asynccontextmanager
    async def ended_on(self, runner: web.AppRunner) -> AsyncIterator[None]:
        """End silent connections of that listener until the context does."""
        ending = asyncio.create_task(self._end(runner))
        try:
            yield
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    async def _end(self, runner: web.AppRunner) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._seconds / _LOOKS)
            there = set(runner.server.connections if runner.server else ())
            self._heard &= there
            self._since = {one: self._since.get(one, now()) for one in there - self._heard}
            for connection, since in self._since.items():
                if now() - since >= self._seconds and connection.transport:
                    connection.transport.abort()
