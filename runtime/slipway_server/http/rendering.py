"""Answers into bytes (RFC 9112)."""

import time
from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus

from .messages import Request, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_WITHOUT_BODY = {204, 304}
_OURS = {"connection", "content-length", "content-type", "date", "traceparent", "transfer-encoding"} | {
    "x-content-type-options",
    "x-request-id",
}
_NOSNIFF = "x-content-type-options: nosniff\r\n"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rendered(response: Response, request: Request | None, *, last: bool) -> bytes:
    """The answer as it goes out; `last` says that the connection ends with it. A HEAD gets no body, but its length."""
    body = response.body
    start = _start(response.status, response.content_type, int(time.time()))
    length = "" if response.status in _WITHOUT_BODY else f"content-length: {len(body)}\r\n"
    ends = "connection: close\r\n" if last else "connection: keep-alive\r\n"
    more = "".join(_lines(response, request)) if response.fields or request is None or request.trace_parent else ""
    ours = f"x-request-id: {request.id}\r\n" if request else ""
    head = f"{start}{length}{ends}{more}{ours}\r\n".encode("latin-1", "replace")
    return head if not length or (request and request.method == "HEAD") else head + body


def _lines(response: Response, request: Request | None) -> Iterator[str]:
    for name, value in response.fields:
        if name.lower() not in _OURS:
            yield f"{_line(name)}: {_line(value)}\r\n"
    if request and request.trace_parent:
        yield f"traceparent: {request.trace_parent}\r\n"


def _line(text: str) -> str:
    """The text with no line's end in it: a driver may hand on what a client sent."""
    return "".join(character for character in text if character.isprintable())


@lru_cache(maxsize=16)
def _start(status: int, content_type: str, second: int) -> str:
    line = f"HTTP/1.1 {status} {_REASONS.get(status, '')}"
    return f"{line}\r\ndate: {_date(second)}\r\ncontent-type: {_line(content_type)}\r\n{_NOSNIFF}"


def _date(second: int) -> str:
    """The time as HTTP writes it (RFC 9110, section 5.6.7), in English whatever the locale."""
    now = time.gmtime(second)
    day, month = _DAYS[now.tm_wday], _MONTHS[now.tm_mon - 1]
    return f"{day}, {now.tm_mday:02} {month} {now.tm_year} {time.strftime('%H:%M:%S', now)} GMT"
