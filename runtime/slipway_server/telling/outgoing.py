"""The HTTP requests that a driver makes, as the standard library's `http.client` sees them.

urllib, requests, urllib3, boto3 and Azure's clients are built on it. What goes past it is not seen: aiohttp, httpx, gRPC,
databases, and TLS connections that could not be made.
"""

import time
from collections.abc import Callable
from functools import wraps
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any

from ..http.messages import CURRENT
from .records import Called

type Tell = Callable[[Called], None]

_BEGUN = "_slipway_begun"


def watch(tell: Tell) -> None:
    """Tell of each request, from here on, when it is answered or has failed. The query is left out: it may hold secrets."""
    HTTPConnection.putrequest = _beginning(HTTPConnection.putrequest)  # type: ignore[method-assign]
    HTTPConnection.endheaders = _failing(HTTPConnection.endheaders, tell)  # type: ignore[method-assign]
    HTTPConnection.getresponse = _ending(HTTPConnection.getresponse, tell)  # type: ignore[method-assign]


def _beginning(putrequest: Callable[..., None]) -> Callable[..., None]:
    @wraps(putrequest)
    def begin(connection: HTTPConnection, method: str, url: str, *arguments: Any, **named: Any) -> None:
        setattr(connection, _BEGUN, (time.time(), time.perf_counter(), method, url.partition("?")[0]))
        putrequest(connection, method, url, *arguments, **named)

    return begin


def _failing(endheaders: Callable[..., None], tell: Tell) -> Callable[..., None]:
    @wraps(endheaders)
    def send(connection: HTTPConnection, *arguments: Any, **named: Any) -> None:
        try:
            endheaders(connection, *arguments, **named)
        except (OSError, HTTPException):
            _tell(connection, 0, tell)
            raise

    return send


def _ending(getresponse: Callable[..., HTTPResponse], tell: Tell) -> Callable[..., HTTPResponse]:
    @wraps(getresponse)
    def receive(connection: HTTPConnection, *arguments: Any, **named: Any) -> HTTPResponse:
        status = 0
        try:
            response = getresponse(connection, *arguments, **named)
            status = response.status
        finally:
            _tell(connection, status, tell)
        return response

    return receive


def _tell(connection: HTTPConnection, status: int, tell: Tell) -> None:
    if begun := connection.__dict__.pop(_BEGUN, None):
        began, counted, method, path = begun
        request = CURRENT.get()
        tell(
            Called(
                began=began,
                seconds=time.perf_counter() - counted,
                request_id=request.id if request else "",
                trace_parent=(request and request.trace_parent) or "",
                method=str(method),
                scheme="https" if isinstance(connection, HTTPSConnection) else "http",
                host=str(connection.host),
                port=int(connection.port),
                path=str(path),
                status=int(status),
            )
        )
