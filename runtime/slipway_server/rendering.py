"""Answers into bytes (RFC 9112)."""

import time
from functools import lru_cache
from http import HTTPStatus

from .messages import Request, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rendered(response: Response, request: Request | None, *, last: bool) -> bytes:
    """The answer as it goes out; `last` says that the connection ends with it. A HEAD gets no body, but its length."""
    fields = [
        ("date", _date(int(time.time()))),
        ("content-type", response.content_type),
        ("content-length", str(len(response.body))),
        ("connection", "close" if last else "keep-alive"),
        *response.fields,
    ]
    if request:
        fields.append(("x-request-id", request.id))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}\r\n{lines}\r\n".encode("latin-1")
    return head if request and request.method == "HEAD" else head + response.body


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """The time as HTTP writes it (RFC 9110, section 5.6.7), in English whatever the locale."""
    now = time.gmtime(second)
    day, month = _DAYS[now.tm_wday], _MONTHS[now.tm_mon - 1]
    return f"{day}, {now.tm_mday:02} {month} {now.tm_year} {time.strftime('%H:%M:%S', now)} GMT"
