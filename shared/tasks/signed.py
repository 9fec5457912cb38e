"""Blobs under URLs that carry their own permission, as ACR Tasks gives them for contexts and logs.

No error and no log names such a URL. Source: Azure Blob Storage, Put Blob and Get Blob.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from shared.domain.errors import Unavailable
from shared.domain.retry_after import retry_after

_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=15)
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


@dataclass(frozen=True)
class Piece:
    """Some bytes of a blob, and how many it has by now."""

    content: bytes = b""
    total: int = 0


async def put(url: str, content: bytes) -> None:
    """Put a block blob there, in the place of what was there. Raises Unavailable."""
    async with _answer("PUT", url, data=content, headers={"x-ms-blob-type": "BlockBlob"}) as answer:
        if answer.status != 201:
            raise _refused(url, answer)


async def read(url: str, start: int, count: int) -> Piece:
    """Up to that many bytes from `start` on; none from behind its end, or of what is not there yet. Raises Unavailable."""
    async with _answer("GET", url, headers={"Range": f"bytes={start}-{start + count - 1}"}) as answer:
        total = _TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
        match answer.status:
            case 206:
                return Piece(await answer.read(), int(total[1]) if total else 0)
            case 416:
                return Piece(total=int(total[1]) if total else 0)
            case 404:
                return Piece()
        raise _refused(url, answer)


@asynccontextmanager
async def _answer(method: str, url: str, **given: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
            session.request(method, url, allow_redirects=False, **given) as answer,
        ):
            yield answer
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # not `from error`: what the client says may hold the URL
        raise Unavailable(f"{urlsplit(url).hostname} is away: {type(error).__name__}.", code="RemoteStorageAway") from None


def _refused(url: str, answer: aiohttp.ClientResponse) -> Unavailable:
    """All of it may heal: the URL is a fresh one the next time."""
    message = f"{urlsplit(url).hostname} answered {answer.status}."
    return Unavailable(message, code="RemoteStorageAway", retry_after=retry_after(answer.headers))
