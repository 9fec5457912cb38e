"""What the server answers to what (client-facts.md, 28)."""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from . import logs
from .drivers.driver import Driver
from .http.keys import Keys
from .http.messages import Headers, Request, Response, failure
from .metrics import CONTENT_TYPE, Metrics
from .observing import Observer
from .settings import Settings
from .work.batching import Batching
from .work.deadline import TimeLimit
from .work.exchange import RETRY, Desk, Exchange, Reply, Start
from .work.slots import Slots

REVISION = "x-slipway-revision"
"""The header by which a health check tells who sends a key which revision of the service answers."""
_TEXT = "text/plain; charset=utf-8"
_READ = ("GET", "HEAD")


class State(StrEnum):
    """Where a replica is in its life; the value is what its health check says."""

    STARTING = "Starting"
    READY = "Healthy"
    STOPPING = "Stopping"


_HEALTH = {State.STARTING: 502, State.READY: 200, State.STOPPING: 503}


class _Route(NamedTuple):
    methods: tuple[str, ...]
    answer: Callable[[Request], Response] | None
    """None: it is the driver's to answer."""
    guarded: bool = False
    """Whether it needs a key."""


class Scoring:
    """Answers requests: to score with the driver, for the documents that describe it, and after the health."""

    def __init__(
        self, settings: Settings, folder: Path, observers: Sequence[Observer], metrics: Metrics, process: int
    ) -> None:
        limit, counts = settings.request_timeout, metrics.of(process)
        self._settings = settings
        self._keys = Keys(settings.keys)
        self._metrics = metrics
        self._swagger_file = folder / "swagger.json"
        self._driver: Driver | None = None
        self._state = State.STARTING
        self._desk = Desk(
            start=_not_started,
            slots=Slots(settings.max_concurrency, settings.max_waiting, counts),
            counts=counts,
            observers=observers,
            in_time=TimeLimit(limit),
            to_end=TimeLimit(limit),
            hung=asyncio.Event(),
        )
        self._routes = {"/healthz/live": _Route(_READ, self._live), "/healthz/ready": _Route(_READ, self._health)}
        self._routes["/metrics"] = _Route(_READ, self._counted, guarded=settings.guard_metrics)
        self._routes |= self._public("")
        if settings.path_prefix:  # where the front end of a cluster sends callers
            self._routes |= self._public(f"/{settings.path_prefix}")

    @property
    def hung(self) -> asyncio.Event:
        """Set when work goes on for twice the time that a request has: this replica is to be replaced."""
        return self._desk.hung

    def ready(self, driver: Driver) -> None:
        """From here on this driver scores."""
        self._driver = driver
        self._desk = replace(self._desk, start=_start(driver, self._settings))
        scored = {path: route._replace(methods=driver.methods) for path, route in self._routes.items() if not route.answer}
        self._routes |= scored
        self._state = State.READY

    def stopping(self) -> None:
        """From here on the health check fails. What still comes is scored."""
        self._state = State.STOPPING

    def answer(self, request: Request, reply: Reply) -> Exchange | None:
        """Call `reply` with the answer, now or later, even when this server has a bug.

        What is returned can be told that nobody waits any more.
        """
        try:
            return self._answered(request, reply)
        except Exception:  # noqa: BLE001  one request is not to take the connection with it
            logs.log("ERROR", traceback.format_exc(), request)
            reply(failure(500, "The server failed. Its log says why, under the id of this request."))
            return None

    def admission(self, path: str, headers: Headers) -> Response | None:
        """The refusal of one who sends no key where one is needed."""
        route = self._routes.get(path)
        if not (route and route.guarded and self._keys.needed) or self._keys.accept(headers.get("authorization")):
            return None
        return failure(401, "Send 'Authorization: Bearer <key>' with a key of the service.", ("www-authenticate", "Bearer"))

    def _answered(self, request: Request, reply: Reply) -> Exchange | None:
        route = self._routes.get(request.path)
        if route is None:
            reply(failure(404, "There is nothing here: POST /score, GET /swagger.json, GET /openapi.json, GET /."))
        elif request.method not in route.methods:
            reply(failure(405, f"Only {' and '.join(route.methods)} here.", ("allow", ", ".join(route.methods))))
        else:
            refusal = self.admission(request.path, request.headers)
            if route.answer is None:
                return self._score(request, reply, refusal)
            reply(refusal or route.answer(request))
        return None

    def _public(self, prefix: str) -> dict[str, _Route]:
        return {
            f"{prefix}/": _Route(_READ, self._health),
            f"{prefix}/score": _Route(("POST",), None, guarded=True),
            f"{prefix}/swagger.json": _Route(_READ, self._swagger, guarded=True),
            f"{prefix}/openapi.json": _Route(_READ, self._openapi, guarded=True),
        }

    def _score(self, request: Request, reply: Reply, refusal: Response | None) -> Exchange:
        if self._keys.needed:  # it is nothing for the driver, nor for what it logs
            request = replace(request, headers=request.headers.without("authorization"))
        if self._driver is None:
            refusal = refusal or failure(503, "The driver is starting.", RETRY)
        exchange = Exchange(self._desk, request, reply)
        if refusal:
            exchange.refuse(refusal)
        else:
            exchange.begin()
        return exchange

    def _counted(self, _: Request) -> Response:
        told = "".join(observer.metrics() for observer in self._desk.observers)
        return Response(200, self._metrics.text() + told.encode(), CONTENT_TYPE)

    def _health(self, request: Request) -> Response:
        """One word for a stranger; who sends a key is told the revision, too."""
        told = self._settings.revision and self._keys.accept(request.headers.get("authorization"))
        fields = ((REVISION, self._settings.revision),) if told else ()
        return Response(_HEALTH[self._state], self._state.encode(), _TEXT, fields)

    def _live(self, _: Request) -> Response:
        return Response(503, b"Hung", _TEXT) if self.hung.is_set() else Response(200, b"Alive", _TEXT)

    def _swagger(self, _: Request) -> Response:
        try:
            return Response(200, self._swagger_file.read_bytes())
        except FileNotFoundError:
            return _document(self._driver.swagger if self._driver else None)

    def _openapi(self, _: Request) -> Response:
        return _document(self._driver.openapi if self._driver else None)


def _document(text: bytes | None) -> Response:
    return Response(200, text) if text else failure(404, "This driver says nothing of what it takes.")


def _start(driver: Driver, settings: Settings) -> Start:
    if settings.batch_size == 1 or not driver.batched:
        return driver.start
    # More than all slots hold will never be there: that many need not wait for more.
    size = min(settings.batch_size, settings.max_concurrency)
    return Batching(driver.start_batch, size, settings.batch_milliseconds / 1000).start


def _not_started(_: Request) -> asyncio.Future[Response]:
    raise RuntimeError("There is no driver yet.")
