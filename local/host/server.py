"""uvicorn under HTTP triggers: on a socket that is already bound, and stopped like every other listener."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import override

import uvicorn

from local.host.connection import BoundedConnection
from local.host.http import HttpFunctions
from local.host.stopping import Stopping

_log = logging.getLogger(__name__)

_KEEP_ALIVE = 130  # seconds, as Kestrel's


class _Server(uvicorn.Server):
    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the host's."""
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            _log.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, port)


class HttpListener:
    """Serves the HTTP functions."""

    def __init__(self, app: HttpFunctions, listening: socket.socket) -> None:
        self._socket = listening
        settings = uvicorn.Config(
            app,
            interface="asgi3",
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        self._server = _Server(settings)

    async def run(self, stopping: Stopping) -> None:
        """Until asked to stop: then no new connections, and the requests under way are answered."""
        serving = asyncio.create_task(self._server.serve([self._socket]))
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        self._server.should_exit = True
        await serving
