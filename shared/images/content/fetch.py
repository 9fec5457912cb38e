"""Fetching what a manifest points at: as a stream, bounded, resumed where it breaks, and from public addresses only.

The operator may allow private hosts, or name the only ones there are. No proxy settings of the environment are taken.
Content is taken as it is stored, a Content-Encoding included: lengths, ranges and Content-MD5 are about that.
Sources: RFC 9110 (conditional and range requests); RFC 1864 (Content-MD5), which blob storage keeps.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import aiohttp
from yarl import URL

from shared.domain.errors import BuildFailed, foreign
from shared.domain.retry_after import retry_after
from shared.images.content.addresses import Gate

_CHUNK = 1024 * 1024
_MOST_REDIRECTS = 5
_MOST_BROKEN = 20
_REDIRECTS = (301, 302, 303, 307, 308)
_BROKE = (aiohttp.ClientError, TimeoutError)
_VALIDATORS = ("ETag", "Last-Modified")
"""What tells one content of a URL from another: not every server that knows Range knows If-Range."""

type Sign = Callable[[str], Awaitable[str]]
"""The URL as it is to be called: with a signature, when it is one of the operator's own blobs."""


async def unsigned(url: str) -> str:
    """The URL as it is."""
    return url


@dataclass(frozen=True)
class Rate:
    """How slowly a source may come: so many bytes a second, over so many seconds of waiting for it."""

    bytes_a_second: int
    seconds: float


RATE = Rate(10 * 1024, 60)


class Pace:
    """Measures how fast a source comes. Only the time that is waited for it counts, not what is done with it."""

    def __init__(self, url: str, least: Rate) -> None:
        self._url = url
        self._least = least
        self._waited = 0.0
        self._bytes = 0

    async def of(self, coming: Awaitable[bytes]) -> bytes:
        """What comes; raises BuildFailed when a window is over in which too little did."""
        now = asyncio.get_running_loop().time
        began = now()
        chunk = await coming
        self._waited += now() - began
        self._bytes += len(chunk)
        if chunk and self._waited > self._least.seconds:
            if self._bytes < self._least.bytes_a_second * self._waited:
                rate = f"less than {self._least.bytes_a_second} bytes a second for {self._least.seconds:.0f} s"
                raise _refused(self._url, f"it comes too slowly, {rate} (SLIPWAY_FETCH_MIN_BYTES_PER_SECOND)")
            self._waited, self._bytes = 0.0, 0
        return chunk


class Transfer:
    """The content of one URL on its way: whole and what it was when it began, or BuildFailed."""

    def __init__(self, fetcher: "Fetcher", url: str, answer: aiohttp.ClientResponse, stack: AsyncExitStack) -> None:
        self._fetcher = fetcher
        self._url = url
        self._answer = answer
        self._stack = stack
        self._hash = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._promised_md5 = answer.headers.get("Content-MD5", "")
        self.size = answer.content_length
        """How large it will be, None when the server does not say."""
        self.received = 0

    @property
    def unchanged(self) -> bool:
        """Whether it is what the tag named that was asked with; then it has no chunks."""
        return self._answer.status == 304

    @property
    def etag(self) -> str:
        """The tag that tells this content from any other, empty when the server gives none that is good for that."""
        tag = self._answer.headers.get("ETag", "")
        return "" if tag.startswith("W/") else tag

    @property
    def digest(self) -> str:
        """Of what was received."""
        return f"sha256:{self._hash.hexdigest()}"

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content. Raises BuildFailed when it is too large, changes under way or cannot be had whole."""
        before, pace = -1, Pace(self._url, self._fetcher.least_rate)
        for broken in range(_MOST_BROKEN):
            try:
                coming = await self._resumed() if broken else self._answer.content
                while chunk := await pace.of(coming.read(_CHUNK)):
                    self._take(chunk)
                    yield chunk
                break
            except _BROKE as error:
                if self.received == before or broken == _MOST_BROKEN - 1:
                    raise _unreachable(self._url, error) from error
                before = self.received
        self._check_whole()

    def _take(self, chunk: bytes) -> None:
        self.received += len(chunk)
        self._fetcher.check_size(self._url, self.received)
        self._hash.update(chunk)
        if self._promised_md5:
            self._md5.update(chunk)

    async def _resumed(self) -> aiohttp.StreamReader:
        """What is left, from a new answer."""
        headers = {"Range": f"bytes={self.received}-", **({"If-Range": self.etag} if self.etag else {})}
        answer = await self._fetcher.get(self._url, headers, self._stack)
        if answer.status == 200:
            await self._skip(answer.content)
            return answer.content
        begins, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if answer.status != 206 or begins.partition("-")[0] != str(self.received) or self._other(answer, total):
            raise _changed(self._url)
        return answer.content

    def _other(self, answer: aiohttp.ClientResponse, total: str) -> bool:
        """Whether the answer is about other content. A part need not say again when that was modified."""
        pairs = [(self._answer.headers.get(name), answer.headers.get(name)) for name in _VALIDATORS]
        other_size = self.size is not None and total not in ("*", str(self.size))
        return other_size or any(None not in pair and pair[0] != pair[1] for pair in pairs)

    async def _skip(self, content: aiohttp.StreamReader) -> None:
        """Read again what was received before, which must be the same."""
        again, left = hashlib.sha256(), self.received
        while left and (chunk := await content.read(min(left, _CHUNK))):
            again.update(chunk)
            left -= len(chunk)
        if again.digest() != self._hash.digest():
            raise _changed(self._url)

    def _check_whole(self) -> None:
        if self.size is not None and self.received != self.size:
            raise _changed(self._url)
        if self._promised_md5 and base64.b64encode(self._md5.digest()).decode() != self._promised_md5:
            raise _failure(self._url, "what came is not what its Content-MD5 says", retryable=True)


class Fetcher:
    """Fetches URLs. `allow` names hosts, as `host:port`, that may be private; `hosts`, when given, the only ones there are,
    `*.example.org` for all below one; `most_bytes` bounds one source, `least_rate` how slowly it may come."""

    def __init__(
        self,
        *,
        most_bytes: int,
        allow: Collection[str] = (),
        hosts: Collection[str] = (),
        sign: Sign = unsigned,
        least_rate: Rate = RATE,
        timeout_seconds: float = 3600.0,
    ) -> None:
        self.least_rate = least_rate
        self._allow = frozenset(entry.lower() for entry in allow)
        self._hosts = tuple(entry.lower() for entry in hosts)
        self._most_bytes = most_bytes
        self._sign = sign
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=15, sock_read=60)

    @asynccontextmanager
    async def opened(self, url: str, etag: str = "") -> AsyncIterator[Transfer]:
        """The content of that URL, as a stream; with `etag`, nothing when it is still what that names.

        Raises BuildFailed, saying what to change; outages are retryable.
        """
        async with AsyncExitStack() as stack:
            answer = await self.get(url, {"If-None-Match": etag} if etag else {}, stack)
            transfer = Transfer(self, url, answer, stack)
            self.check_size(url, transfer.size or 0)
            yield transfer

    async def read(self, url: str, most_bytes: int) -> bytes:
        """The content of that URL, which must be small. Raises BuildFailed."""
        async with self.opened(url) as transfer:
            content = bytearray()
            async for chunk in transfer.chunks():
                content += chunk
                if len(content) > most_bytes:
                    raise _refused(url, f"it holds more than {most_bytes} bytes")
            return bytes(content)

    async def get(self, url: str, headers: Mapping[str, str], stack: AsyncExitStack) -> aiohttp.ClientResponse:
        """The answer to a request, behind all redirects; 200, 206 or 304."""
        place = _parsed(await self._sign(url), url)
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._get(place, headers, stack)
            if answer.status not in _REDIRECTS:
                _check_status(place, answer)
                return answer
            place = _redirect(place, answer.headers.get("Location", ""))
        raise _refused(url, f"it redirects more than {_MOST_REDIRECTS} times")

    def check_size(self, url: str, size: int) -> None:
        """Raises BuildFailed when that is more than is taken."""
        if size > self._most_bytes:
            raise _refused(url, f"it holds more than {self._most_bytes} bytes")

    async def _get(self, url: URL, headers: Mapping[str, str], stack: AsyncExitStack) -> aiohttp.ClientResponse:
        if self._hosts and not any(fnmatchcase((url.raw_host or "").lower(), host) for host in self._hosts):
            raise _refused(url, "its host is not in SLIPWAY_FETCH_HOSTS")
        gate = Gate(allowed=f"{url.raw_host}:{url.port}" in self._allow)
        connector = aiohttp.TCPConnector(socket_factory=gate.socket, use_dns_cache=False)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False, auto_decompress=False)
        )
        plain = {"Accept-Encoding": "identity", **headers}
        try:
            return await stack.enter_async_context(session.get(url, allow_redirects=False, headers=plain))
        except (aiohttp.InvalidURL, UnicodeError) as error:  # the latter for a host that no name server could be asked for
            raise _refused(url, "its URL is malformed") from error
        except _BROKE as error:
            if gate.closed_to:
                why = f"{gate.closed_to} is no public address, and the host is not in SLIPWAY_FETCH_ALLOW"
                raise _refused(url, why) from error
            raise _unreachable(url, error) from error


def _parsed(url: str, shown: object) -> URL:
    """The URL as the client takes it: a host in full-width digits is an address to it, and must be one to us."""
    try:
        return URL(url)
    except ValueError as error:
        raise _refused(shown, "its URL is malformed") from error


def _redirect(url: URL, location: str) -> URL:
    target = url.join(_parsed(location, url))
    if not location or target.scheme not in ("http", "https"):
        raise _refused(url, "it redirects to no http or https URL")
    return target


_HINTS = {
    401: "it wants a sign-in; register a URL with a shared-access signature",
    403: "access is refused; a shared-access signature may have expired: register a URL with a fresh one",
    404: "there is nothing there",
    409: "access is refused; register a URL with a shared-access signature",
    410: "there is nothing there any more",
}


def _check_status(url: URL, answer: aiohttp.ClientResponse) -> None:
    status = answer.status
    if status >= 500 or status in (408, 429):
        raise _failure(url, f"its server answers {status}", retryable=True, pause=retry_after(answer.headers))
    if status not in (200, 206, 304):
        raise _refused(url, f"{_HINTS.get(status, 'its server refuses')} ({status})")


def _changed(url: str) -> BuildFailed:
    return BuildFailed(f"{foreign(url)} changed while it was fetched.", code="SourceChanged")


def _unreachable(url: object, error: Exception) -> BuildFailed:
    return _failure(url, f"it cannot be reached ({type(error).__name__})", retryable=True)


def _refused(url: object, reason: str) -> BuildFailed:
    return _failure(url, reason, retryable=False)


def _failure(url: object, reason: str, *, retryable: bool, pause: float | None = None) -> BuildFailed:
    message = f"{foreign(url)} cannot be fetched: {reason}."
    return BuildFailed(message, code="SourceUnreachable", retryable=retryable, retry_after=pause)
