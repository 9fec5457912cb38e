"""What the server answers to what (client-facts.md, 28)."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path

from .driver import Driver
from .logs import log
from .messages import CURRENT, Request, Response, failure
from .settings import Settings
from .slots import Full, Slots

_RETRY = ("retry-after", "1")
_TEXT = "text/plain; charset=utf-8"


class State(StrEnum):
    """Where a replica is in its life; the value is what its health check says."""

    STARTING = "Starting"
    READY = "Healthy"
    STOPPING = "Stopping"


_HEALTH = {State.STARTING: 502, State.READY: 200, State.STOPPING: 503}


class Scoring:
    """Answers requests: to score with the driver, for the swagger document, and after the health."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._limit = settings.request_timeout
        self._slots = Slots(settings.max_concurrency, settings.max_waiting)
        self._swagger_file = folder / "swagger.json"
        self._driver: Driver | None = None
        self._state = State.STARTING
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Request], Awaitable[Response]]]] = {
            "/": (("GET", "HEAD"), self._health),
            "/score": (("POST",), self._score),
            "/swagger.json": (("GET", "HEAD"), self._swagger),
        }

    def ready(self, driver: Driver) -> None:
        """From here on this driver scores."""
        self._driver = driver
        self._state = State.READY

    def stopping(self) -> None:
        """From here on the health check fails. What still comes is scored."""
        self._state = State.STOPPING

    async def answer(self, request: Request) -> Response:
        """The answer to any request, even when this server has a bug."""
        CURRENT.set(request)
        methods, handler = self._routes.get(request.path, ((), None))
        if handler is None:
            return failure(404, "There is nothing here: POST /score, GET /swagger.json, GET /.")
        if request.method not in methods:
            return failure(405, f"Only {' and '.join(methods)} here.", ("allow", ", ".join(methods)))
        try:
            return await handler(request)
        except Exception:  # noqa: BLE001  one request is not to take the connection with it
            log("ERROR", traceback.format_exc())
            return failure(500, "The server failed. Its log says why, under the id of this request.")

    async def _health(self, _: Request) -> Response:
        return Response(_HEALTH[self._state], self._state.encode(), _TEXT)

    async def _swagger(self, _: Request) -> Response:
        try:
            return Response(200, self._swagger_file.read_bytes())
        except FileNotFoundError:
            return failure(404, "This driver wrote no swagger.json.")

    async def _score(self, request: Request) -> Response:
        began = time.perf_counter()
        response = await self._scored(request)
        log("INFO", f"POST /score {response.status} in {1000 * (time.perf_counter() - began):.1f} ms")
        return response

    async def _scored(self, request: Request) -> Response:
        if self._driver is None:
            return failure(503, "The driver is starting.", _RETRY)
        try:
            async with asyncio.timeout(self._limit):
                await self._slots.take()
                return await self._worked(self._driver, request)
        except Full:
            return failure(503, "All that may be worked on at once, or wait, does.", _RETRY)
        except TimeoutError:
            return failure(504, f"There was no answer within {self._limit:g} seconds.")

    async def _worked(self, driver: Driver, request: Request) -> Response:
        work = driver.start(request)
        try:
            return await asyncio.shield(work)
        finally:
            self._give_back_after(work)

    def _give_back_after(self, work: asyncio.Future[Response]) -> None:
        """Free the slot when the work is done. It may not be, when its time is up or its client is gone."""
        if work.done():
            self._slots.give_back()
            return
        work.add_done_callback(lambda _: self._slots.give_back())
        if isinstance(work, asyncio.Task):  # a thread cannot be stopped: it keeps its slot for as long as it runs
            work.cancel()
