"""The keys that tokens are signed with: a JSON Web Key Set (RFC 7517), fetched when it is needed and kept."""

import asyncio
import time
from typing import Any

import aiohttp
from jwt import PyJWK
from jwt.exceptions import PyJWKError

from shared.domain.errors import Unauthenticated, Unavailable

_FRESH_SECONDS = 24 * 3600.0
_LEAST_SECONDS_BETWEEN = 30.0
"""However many tokens name an unknown key, the key set is not asked for more often."""
_TIMEOUT_SECONDS = 10.0


class SigningKeys:
    """The keys at an address, by their `kid`. Many callers at once share one fetch."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> Any:
        """The public key of that id; raises Unauthenticated when there is none, Unavailable when nobody can tell."""
        if kid not in self._keys or self._age() > _FRESH_SECONDS:
            await self._refresh(kid)
        if kid not in self._keys:
            raise Unauthenticated("The token is signed with a key that its issuer does not publish.")
        return self._keys[kid]

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    async def _refresh(self, kid: str) -> None:
        async with self._fetching:
            if self._age() < _LEAST_SECONDS_BETWEEN:
                return
            try:
                self._keys = await published_keys(self._url)
            except (OSError, TimeoutError, ValueError) as error:
                if kid not in self._keys:
                    raise Unavailable("The issuer's keys could not be fetched.", code="KeysUnavailable") from error
                return
            self._fetched_at = time.monotonic()


async def published_keys(url: str) -> dict[str, Any]:
    """The public keys that are published there, by their id. Raises OSError, TimeoutError and ValueError."""
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            answer.raise_for_status()
            published = (await answer.json(content_type=None))["keys"]
    except (aiohttp.ClientError, KeyError, TypeError) as error:
        raise ValueError("no key set") from error
    keys: dict[str, Any] = {}
    for entry in published:
        try:
            keys[entry["kid"]] = PyJWK(entry).key
        except (PyJWKError, KeyError, TypeError):
            continue  # a key of a kind that is not taken here
    return keys
