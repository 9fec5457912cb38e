"""The keys that tokens are signed with: a JSON Web Key Set (RFC 7517), fetched when it is needed and kept."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from jwt import PyJWK
from jwt.exceptions import PyJWKError

from shared.domain.errors import Unauthenticated, Unavailable, foreign

_logger = logging.getLogger(__name__)

_FRESH_SECONDS = 24 * 3600.0
_STALE_SECONDS = 7 * 24 * 3600.0
"""Keys that are not fresh any more are still used for so long, while others are fetched or cannot be."""
_LEAST_SECONDS_BETWEEN = 30.0
"""However many tokens name an unknown key, and whether the issuer answers or not, it is not asked more often."""
_TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 1024 * 1024


class SigningKeys:
    """The keys at an address, by their `kid`. There is one fetch at a time, and no caller waits for more than one."""

    def __init__(self, url: str, now: Callable[[], float] = time.monotonic, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._url = url
        self._now = now
        self._timeout = timeout
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> Any:
        """The public key of that id; raises Unauthenticated when there is none, Unavailable when nobody can tell."""
        age = self._now() - self._fetched_at
        if kid in self._keys and age <= _STALE_SECONDS:
            if age > _FRESH_SECONDS:
                self._refresh()
            return self._keys[kid]
        if (refreshing := self._refresh()) is not None:
            await asyncio.shield(refreshing)
        if kid in self._keys and self._now() - self._fetched_at <= _STALE_SECONDS:
            return self._keys[kid]
        if self._failed:
            raise Unavailable("The issuer's keys could not be fetched.", code="KeysUnavailable")
        raise Unauthenticated("The token is signed with a key that its issuer does not publish.")

    def _refresh(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or begins now; None when the last one was begun too short a time ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if self._now() - self._asked_at < _LEAST_SECONDS_BETWEEN:
            return None
        self._asked_at = self._now()
        self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = await published_keys(self._url, self._timeout)
        except (OSError, TimeoutError, ValueError) as error:
            self._failed = True
            _logger.warning("The issuer's keys could not be fetched from %s: %s", self._url, foreign(repr(error)))
            return
        self._failed = False
        self._fetched_at = self._now()


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > _MOST_BYTES:
            raise ValueError(f"the key set has more than {_MOST_BYTES} bytes")
    return bytes(content)


def _entries(text: bytes) -> list[Any]:
    try:
        published = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        published = None
    if not isinstance(published, list):
        raise ValueError("no key set: what is there holds no array `keys`")
    return published


async def published_keys(url: str, seconds: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
    """The public keys that are published there, by their id. Raises OSError, TimeoutError and ValueError."""
    try:
        client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds))
        async with client as session, session.get(url) as answer:
            answer.raise_for_status()
            text = await _whole(answer)
    except aiohttp.ClientError as error:
        raise ValueError(f"no key set: {error or type(error).__name__}") from error
    keys: dict[str, Any] = {}
    for entry in _entries(text):
        try:
            keys[entry["kid"]] = PyJWK(entry).key
        except (PyJWKError, KeyError, TypeError):
            continue  # a key of a kind that is not taken here
    return keys
