"""One connection of a caller, bounded as Kestrel bounds it: the request line, the headers, and the time for them.

Source: Kestrel's limits: MaxRequestLineSize, MaxRequestHeadersTotalSize, MaxRequestHeaderCount, RequestHeadersTimeout,
MinRequestBodyDataRate.
"""

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, override

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}(?= )")
_PARSED = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE")
_STAND_IN = b"PATCH"
"""For the parser, which refuses methods that it does not know, and does not read on behind CONNECT."""


@dataclass(frozen=True)
class Limits:
    """What a request's head may hold, in bytes and headers, and how long head and body may take, in seconds."""

    line: int = 8 * 1024
    headers: int = 32 * 1024
    header_count: int = 100
    head_seconds: float = 30.0
    body_bytes_a_second: int = 240
    body_grace_seconds: float = 5.0


class _Refused(Exception):
    """The parser stops; the status of the answer is known by then."""


class BoundedConnection(HttpToolsProtocol):
    """A connection that is refused and closed when a request of it grows too large or comes too slowly."""

    limits: ClassVar[Limits] = Limits()
    _head: int | None = 0
    """Bytes of the head that is being read; None behind it."""
    _body = 0
    _method: bytes | None = None
    """That of the request which is read, where the parser was shown another one."""
    _timer: asyncio.TimerHandle | None = None
    _status = HTTPStatus.BAD_REQUEST

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._time(self.limits.head_seconds, self._late)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._time(None)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head == 0:
            data = self._readable(data)
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > self.limits.line + self.limits.headers:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = self._head or 1
        self._time(self.limits.head_seconds, self._late)

    @override
    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.line:
            self._stop(HTTPStatus.REQUEST_URI_TOO_LONG)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        size = sum(len(one) + len(other) + 4 for one, other in self.headers)
        if len(self.headers) > self.limits.header_count or size > self.limits.headers:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    @override
    def on_headers_complete(self) -> None:
        self._head, self._body = None, 0
        self._time(self.limits.body_grace_seconds, self._look_at_body)
        super().on_headers_complete()
        if self._method:
            self.scope["method"] = self._method.decode()

    @override
    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._time(None)
        self._head = 0
        super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(self._status)

    def _readable(self, data: bytes) -> bytes:
        """What begins with a request, for the parser: any token is a method (RFC 9110, 9.1), and means what it does."""
        found = _METHOD.match(data)
        self._method = found[0] if found and found[0] not in _PARSED else None
        return _STAND_IN + data[found.end() :] if found and self._method else data

    def _stop(self, status: HTTPStatus) -> None:
        self._status = status
        raise _Refused(status.phrase)

    def _late(self) -> None:
        self._timer = None
        if self._head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _look_at_body(self) -> None:
        if self._body < self.limits.body_bytes_a_second * self.limits.body_grace_seconds:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            return
        self._body = 0
        self._time(self.limits.body_grace_seconds, self._look_at_body)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without a body, and close. A request that is being served is told that its caller is gone."""
        self._time(None)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()

    def _time(self, seconds: float | None, act: object = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, act) if seconds is not None and callable(act) else None
