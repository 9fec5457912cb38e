"""A registry: one host's connections, and requests signed as it wants them. Source: OCI distribution specification 1.1."""

import time
from typing import Any

import aiohttp
from yarl import URL

from shared.registries.authority import Access, Authority
from shared.registries.challenges import challenges
from shared.registries.references import base_url
from shared.registries.repository import Repository
from shared.registries.uploads import Content

__all__ = ["Registry", "Repository"]

_SEEN_SECONDS = 60.0
_MOST_SEEN = 10_000
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=120)

_AS_STORED = {"Accept-Encoding": "identity"}
"""A proxy that compresses would change the bytes that digests are of."""


class Registry:
    """One registry. Connections are opened when they are first needed, in the loop that needs them."""

    def __init__(self, host: str, authority: Authority) -> None:
        self.host = host
        self.url = base_url(host)
        self._authority = authority
        self._session: aiohttp.ClientSession | None = None
        self._seen: dict[tuple[str, str], float] = {}

    def saw(self, repository: str, digest: str) -> None:
        """That blob is in that repository."""
        self._seen[repository, digest] = time.monotonic() + _SEEN_SECONDS

    def has_seen(self, repository: str, digest: str) -> bool:
        """Whether it was there a moment ago: no registry removes it that soon."""
        now = time.monotonic()
        if len(self._seen) > _MOST_SEEN:
            self._seen = {blob: until for blob, until in self._seen.items() if until > now}
        return self._seen.get((repository, digest), 0.0) > now

    def repository(self, name: str) -> Repository:
        """A repository of it, which need not be there yet."""
        return Repository(self, name)

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
        self._session = None

    async def send(
        self, method: str, url: str, access: Access, *, content: Content | None = None, **given: Any
    ) -> aiohttp.ClientResponse:
        """The answer to a request, signed as the registry wants it; to be used as a context."""
        signature = self._authority.header(access) if self.is_here(url) else {}
        for last in (False, True):
            headers = {**given.get("headers", {}), **signature}
            body = {"data": content()} if content else {}
            answer = await self.session().request(method, url, **{**given, **body, "headers": headers})
            asked = challenges(answer.headers.getall("WWW-Authenticate", ()))
            if last or answer.status != 401 or not asked or not self.is_here(answer.url):
                return answer
            answer.release()
            signature = await self._authority.answer(self.session(), access, asked)
        raise AssertionError

    def is_here(self, url: str | URL) -> bool:
        """Whether it is this registry that answers there: it may send requests elsewhere, and no secret goes with them."""
        return URL(url).origin() == URL(self.url).origin()

    def session(self) -> aiohttp.ClientSession:
        """The connections to it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT, headers=_AS_STORED, auto_decompress=False, trust_env=True
            )
        return self._session
