"""Requests and answers, as values."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self
from uuid import uuid4


class Headers(Mapping[str, str]):
    """Header fields by name, without regard to case; what came several times is joined with commas."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields:
            known = self._fields.get(key := name.lower())
            self._fields[key] = value if known is None else f"{known}, {value}"

    @classmethod
    def parsed(cls, raw: Iterable[tuple[bytes, bytes]]) -> Self:
        """Those of the bytes that came: every byte is a character (RFC 9110, section 5.5)."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True)
class Request:
    """One whole request. `id` is the caller's own, when it sent one that fits a log, or else a new one."""

    method: str
    path: str
    headers: Headers
    body: bytes
    keep_alive: bool
    id: str

    @classmethod
    def of(cls, method: str, path: str, headers: Headers, body: bytes, *, keep_alive: bool) -> Self:
        """A request with the id it goes by."""
        given = headers.get("x-request-id", "")
        fits = given.isascii() and given.isprintable() and 0 < len(given) <= 128
        return cls(method, path, headers, body, keep_alive, given if fits else str(uuid4()))


@dataclass(frozen=True)
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
