"""Bytes into requests: llhttp parses, this bounds."""

from collections.abc import Callable
from functools import lru_cache

import httptools

from .messages import Headers, Request, Response, failure

MAX_HEAD = 64 * 1024

type Admission = Callable[[str, Headers], Response | None]
"""Says by path and header who may send a large body: None, or the refusal."""


class _Refused(Exception):
    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class RequestReader:
    """Puts requests together from what one connection brings, in pieces of any size.

    A body is at most `max_body` bytes; what is around it at most 64 KiB, and eight bytes more for each of a chunked body.
    A body that is larger than 64 KiB, or may be, is read only if `admission` has nothing against it.
    """

    def __init__(self, max_body: int, admission: Admission | None = None) -> None:
        self._max_body = max_body
        self._admission = admission
        self._parser = httptools.HttpRequestParser(self)
        self._done: list[Request | Response] = []
        self._received = 0
        self.receiving = False
        """Whether a request has begun to arrive and is not whole yet."""
        self.continue_expected = False
        """Whether the client waits for a `100 Continue` before it sends the body."""

    def feed(self, data: bytes) -> list[Request | Response]:
        """What is complete now: requests in their order, and last, where the bytes were not to be taken, a refusal.

        After a refusal the connection is of no use.
        """
        self._received += len(data) if self.receiving else 0
        self._done = []
        try:
            self._parser.feed_data(data)
            self._bound_overhead()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _Refused) as error:
            self.receiving = False
            self._done.append(_refusal(error))
        return self._done

    def _bound_overhead(self) -> None:
        if self.receiving and self._received > MAX_HEAD + 9 * self._size:
            raise _Refused(failure(431, "The header of the request is too large."))

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        """A request begins."""
        self.receiving, self._received = True, 0
        self._url, self._fields, self._head = b"", list[tuple[bytes, bytes]](), 0
        self._body, self._size = list[bytes](), 0

    def on_url(self, part: bytes) -> None:
        """A piece of its target."""
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, or one trailer field."""
        self._head += len(name) + len(value)
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The header is whole: the last moment to refuse it cheaply."""
        if len(self._url) + self._head > MAX_HEAD:
            raise _Refused(failure(431, "The header of the request is too large."))
        if self._parser.should_upgrade():
            raise _Refused(failure(501, "This server speaks HTTP/1.1 only."))
        self._headers = Headers.parsed(self._fields)
        length = int(self._headers.get("content-length", "0"))
        if length > self._max_body:
            raise _Refused(self._too_large())
        if length > MAX_HEAD or self._headers.get("transfer-encoding"):
            self._admit()
        self.continue_expected = self._headers.get("expect", "").lower() == "100-continue"

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._size += len(part)
        if self._size > self._max_body:
            raise _Refused(self._too_large())
        self._body.append(part)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.receiving = self.continue_expected = False
        method, whole = self._parser.get_method().decode(), b"".join(self._body)
        (path, query), keep_alive = _target(self._url), self._parser.should_keep_alive()
        self._done.append(Request.of(method, path, self._headers, whole, keep_alive=keep_alive, query=query))
        self._body.clear()

    def _admit(self) -> None:
        refusal = self._admission(_target(self._url)[0], self._headers) if self._admission else None
        if refusal:
            raise _Refused(refusal)

    def _too_large(self) -> Response:
        return failure(413, f"The body of a request is at most {self._max_body} bytes.")


@lru_cache(maxsize=64)
def _target(url: bytes) -> tuple[str, str]:
    """Its path and its query."""
    parsed = httptools.parse_url(url)
    return (parsed.path or b"/").decode("latin-1"), (parsed.query or b"").decode("latin-1")


def _refusal(error: BaseException) -> Response:
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    return cause.answer if isinstance(cause, _Refused) else failure(400, "This is not an HTTP request.")
