"""Fetching what a manifest points at: bounded, and from public addresses only unless the operator allows a host.

An address is checked when a connection to it is about to be opened, after each redirect too: nothing reads the URL or
resolves its name a second time and comes to another address. No proxy settings of the environment are taken.
"""

import asyncio
import hashlib
import ipaddress
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from shared.domain.errors import BuildFailed, foreign

type _Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CHUNK = 1024 * 1024
_MOST_REDIRECTS = 5
_NOT_ALLOWED = "the host is not in SLIPWAY_FETCH_ALLOW"
_REDIRECTS = (301, 302, 303, 307, 308)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's own: is_global says it is public
        "192.88.99.0/24",  # relays into 6to4
        "2002::/16",  # 6to4, which holds an IPv4 address of any kind
        "2001::/32",  # Teredo, likewise
    )
)


@dataclass(frozen=True)
class Fetched:
    """A source on this disk, for as long as the build runs."""

    path: Path
    size: int
    digest: str
    seconds: float


class Fetcher:
    """Fetches URLs. `allow` names hosts, as `host:port`, that may be private; `most_bytes` bounds one source."""

    def __init__(self, *, allow: Collection[str], most_bytes: int, timeout_seconds: float = 3600.0) -> None:
        self._allow = frozenset(entry.lower() for entry in allow)
        self._most_bytes = most_bytes
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=15, sock_read=60)

    async def fetch(self, url: str, into: Path) -> Fetched:
        """The content of that URL in the file `into`. Raises BuildFailed, saying what to change; outages are retryable."""
        began = time.monotonic()
        place = _parsed(url, url)
        for _ in range(_MOST_REDIRECTS + 1):
            moved, size, digest = await self._get(place, into)
            if moved is None:
                return Fetched(into, size, digest, time.monotonic() - began)
            place = moved
        raise _refused(url, f"it redirects more than {_MOST_REDIRECTS} times")

    async def _get(self, url: URL, into: Path) -> tuple[URL | None, int, str]:
        gate = _Gate(allowed=f"{url.raw_host}:{url.port}" in self._allow)
        connector = aiohttp.TCPConnector(socket_factory=gate.socket, use_dns_cache=False)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False) as session,
                session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
            ):
                if answer.status in _REDIRECTS:
                    return _redirect(url, answer.headers.get("Location", "")), 0, ""
                _check_status(url, answer.status)
                return None, *await self._save(url, answer, into)
        except aiohttp.InvalidURL as error:
            raise _refused(url, "its URL is malformed") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            if gate.closed_to:
                raise _refused(url, f"{gate.closed_to} is no public address, and {_NOT_ALLOWED}") from error
            raise _failure(url, f"it cannot be reached ({type(error).__name__})", retryable=True) from error

    async def _save(self, url: URL, answer: aiohttp.ClientResponse, into: Path) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with into.open("wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self._most_bytes:
                    raise _refused(url, f"it holds more than {self._most_bytes} bytes")
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        return size, f"sha256:{digest.hexdigest()}"


class _Gate:
    """Opens sockets to public addresses only, unless the host is allowed; `closed_to` is the last one it refused."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self.closed_to = ""

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for that address, as it will be connected to; raises OSError."""
        family, kind, protocol, _, address = info
        if not self._allowed and not _public_text(str(address[0])):
            self.closed_to = str(address[0])
            raise OSError(f"{self.closed_to} is not public")
        return socket.socket(family, kind, protocol)


def _public_text(address: str) -> bool:
    """A host such as `127.1`, which is an address only to whom it is given last, counts as none."""
    try:
        return public(ipaddress.ip_address(address))
    except ValueError:
        return False


def public(address: _Address) -> bool:
    """Whether anybody on the internet could reach it: no loopback, private, link-local, metadata or embedded address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        return public(mapped)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    refused = any(address in network for network in _REFUSED_NETWORKS if network.version == address.version)
    return address.is_global and not address.is_multicast and not refused


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
    410: "there is nothing there any more",
}


def _check_status(url: URL, status: int) -> None:
    if status >= 500 or status in (408, 429):
        raise _failure(url, f"its server answers {status}", retryable=True)
    if status != 200:
        raise _refused(url, f"{_HINTS.get(status, 'its server refuses')} ({status})")


def _refused(url: object, reason: str) -> BuildFailed:
    return _failure(url, reason, retryable=False)


def _failure(url: object, reason: str, *, retryable: bool) -> BuildFailed:
    return BuildFailed(f"{foreign(url)} cannot be fetched: {reason}.", code="SourceUnreachable", retryable=retryable)
