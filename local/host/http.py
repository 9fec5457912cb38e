"""HTTP triggers: an ASGI app that finds the function, hands it the request as the real host would, and answers.

Source: the host's conversion of a request to the worker's message; Kestrel's limits.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from local.host.routes import Route, decoded
from local.host.worker import Datum, Target, Worker

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Headers = list[tuple[bytes, bytes]]

_WITHOUT_BODY = (204, 304)
_FRAMING = ("content-length", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller."""

    status: int
    headers: Iterable[tuple[bytes, bytes]] = ()
    body: bytes = b""


class _TooLarge(Exception):
    pass


class _CallerLeft(Exception):
    pass


class HttpFunctions:
    """The ASGI app over all HTTP functions of a worker."""

    def __init__(self, worker: Worker, routes: tuple[Route, ...], largest_body: int) -> None:
        self._worker = worker
        self._largest_body = largest_body
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 404 where no function fits, 413 past the largest body, 500 without a body when the function raises."""
        try:
            answer = await self._answer(scope, receive)
        except _TooLarge:
            answer = Answer(413, [(b"connection", b"close")])
        except _CallerLeft:
            return
        await _send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        raw_path = scope["raw_path"].decode("latin-1")
        found = self._find(scope["method"], decoded(raw_path))
        if found is None:
            return Answer(404)
        target, parameters = found
        headers = _joined_headers(scope["headers"])
        body = await _read(headers, receive, self._largest_body)
        request = _request(scope, raw_path, headers, parameters, body)
        outcome = await self._worker.invoke(target, request, {}, trace_parent=headers.get("traceparent", ""))
        return _answer(outcome.returned) if outcome.ok else Answer(500)

    def _find(self, method: str, path: str) -> tuple[Target, dict[str, str]] | None:
        for route in self._routes:
            parameters = route.parameters(method, path)
            if parameters is not None:
                return route.target, parameters
        return None


async def _read(headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
    if int(headers.get("content-length", 0)) > most:
        raise _TooLarge
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerLeft
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            raise _TooLarge
        more = message.get("more_body", False)
    return b"".join(chunks)


def _request(scope: Scope, raw_path: str, headers: dict[str, str], parameters: dict[str, str], body: bytes) -> Datum:
    query = scope["query_string"].decode("latin-1")
    host = headers.get("host") or "{}:{}".format(*scope["server"])
    url = f"{scope['scheme']}://{host}{raw_path}{'?' if query else ''}{query}"
    return Datum(
        {
            "method": Datum(scope["method"], "string"),
            "url": Datum(url, "string"),
            "headers": _strings(headers),
            "params": _strings(parameters),
            "query": _strings(_joined_query(query)),
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _joined_headers(headers: Headers) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _joined_query(query: str) -> dict[str, str]:
    """Empty values dropped; names without regard to case, as first spelt."""
    spelt: dict[str, str] = {}
    joined: dict[str, str] = {}
    for given, value in parse_qsl(query):
        name = spelt.setdefault(given.lower(), given)
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _answer(returned: Datum | None) -> Answer:
    """What a function returned, as an answer; a text is one in itself."""
    if returned is None:
        return Answer(204)
    if returned.type != "http":
        return Answer(200, [(b"content-type", b"text/plain; charset=utf-8")], str(returned.value).encode())
    value = returned.value
    headers = [
        (name.lower().encode("latin-1"), text.value.encode("latin-1"))
        for name, text in value["headers"].items()
        if name.lower() not in _FRAMING
    ]
    for cookies in value["cookies"] or ():
        headers.extend((b"set-cookie", cookie.OutputString().encode("latin-1")) for cookie in cookies.values())
    return Answer(int(value["status_code"].value), headers, value["body"].value)


async def _send(answer: Answer, send: Send) -> None:
    bodiless = answer.status in _WITHOUT_BODY
    length = () if bodiless else ((b"content-length", str(len(answer.body)).encode()),)
    await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, *length]})
    await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})
