"""Bytes into requests: llhttp parses, this bounds."""

import httptools

from .messages import Headers, Request, Response, failure

MAX_HEAD = 64 * 1024


class _Refused(Exception):
    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class RequestReader:
    """Puts requests together from what one connection brings, in pieces of any size.

    A body is at most `max_body` bytes; what is around it at most 64 KiB, and eight bytes more for each of a chunked body.
    """

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
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
        self._url, self._fields = b"", list[tuple[bytes, bytes]]()
        self._body, self._size = list[bytes](), 0

    def on_url(self, part: bytes) -> None:
        """A piece of its target."""
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, or one trailer field."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The header is whole: the last moment to refuse it cheaply."""
        if len(self._url) + sum(len(name) + len(value) for name, value in self._fields) > MAX_HEAD:
            raise _Refused(failure(431, "The header of the request is too large."))
        if self._parser.should_upgrade():
            raise _Refused(failure(501, "This server speaks HTTP/1.1 only."))
        self._headers = Headers.parsed(self._fields)
        if int(self._headers.get("content-length", "0")) > self._max_body:
            raise _Refused(self._too_large())
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
        method, path = self._parser.get_method().decode(), httptools.parse_url(self._url).path or b"/"
        whole = b"".join(self._body)
        keep_alive = self._parser.should_keep_alive()
        self._done.append(Request.of(method, path.decode("latin-1"), self._headers, whole, keep_alive=keep_alive))
        self._body.clear()

    def _too_large(self) -> Response:
        return failure(413, f"The body of a request is at most {self._max_body} bytes.")


def _refusal(error: BaseException) -> Response:
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    return cause.answer if isinstance(cause, _Refused) else failure(400, "This is not an HTTP request.")
