"""Requests and answers, as values."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Headers(Mapping[str, str]):
    """Header fields by name, without regard to case; what came several times is joined with commas."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields:
            key = name.lower()
            self._fields[key] = f"{self._fields[key]}, {value}" if key in self._fields else value

    @classmethod
    def parsed(cls, raw: Iterable[tuple[bytes, bytes]]) -> Self:
        """Those of the bytes that came: every byte is a character (RFC 9110, section 5.5)."""
        return cls([(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw])

    def without(self, name: str) -> "Headers":
        """All but that."""
        return Headers((known, value) for known, value in self._fields.items() if known != name)

    def get(self, name: str, default: Any = None) -> Any:
        """As any mapping's, but quick: each request is asked for some that few have."""
        return self._fields.get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request. `id` is the caller's own, when it sent one that fits a log, or else a new one."""

    method: str
    path: str
    headers: Headers
    body: bytes
    keep_alive: bool
    id: str
    trace_parent: str | None = None
    """The caller's place in a trace (W3C Trace Context, `traceparent`), when it sent a valid one."""
    query: str = ""
    """What follows the path, without the `?`."""

    @classmethod
    def of(cls, method: str, path: str, headers: Headers, body: bytes, *, keep_alive: bool, query: str = "") -> Self:
        """A request with the id it goes by."""
        given = headers.get("x-request-id", "")
        fits = given.isascii() and given.isprintable() and 0 < len(given) <= 128
        trace = headers.get("traceparent", "")
        known = trace if trace and _TRACE_PARENT.fullmatch(trace) else None
        return cls(method, path, headers, body, keep_alive, given if fits else _new_id(), known, query)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `fields` are header fields beyond the type and the length."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    fields: tuple[tuple[str, str], ...] = ()


CURRENT: ContextVar[Request | None] = ContextVar("the request being worked on", default=None)


def failure(status: int, message: str, *fields: tuple[str, str]) -> Response:
    """The answer of all that fails, as clients expect it (client-facts.md, 25)."""
    body = json.dumps({"status_code": status, "message": message})
    return Response(status, body.encode(), fields=fields)


def _new_id() -> str:
    """A random UUID (RFC 9562, version 4), for a third of what `uuid4` takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
