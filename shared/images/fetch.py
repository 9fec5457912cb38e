"""Fetching what a manifest points at: bounded, and from public addresses only unless the operator allows a host.

A name is resolved once, every address it has is checked, and the connection goes to an address that was checked; each
redirect is checked again. Nothing is taken from proxy settings of the environment.
"""

import asyncio
import hashlib
import ipaddress
import socket
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.domain.errors import BuildFailed, ServiceError, foreign

type _Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CHUNK = 1024 * 1024
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's own: is_global says it is public
        "64:ff9b::/96",  # NAT64, which holds an IPv4 address of any kind
        "64:ff9b:1::/48",
        "2002::/16",  # 6to4, likewise
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
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                moved, size, digest = await self._get(url, into)
                if moved is None:
                    return Fetched(into, size, digest, time.monotonic() - began)
                url = moved
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(url, error) from error
        raise _refused(url, f"it redirects more than {_MOST_REDIRECTS} times")

    async def _get(self, url: str, into: Path) -> tuple[str | None, int, str]:
        allowed = _origin(url) in self._allow
        host = urlsplit(url).hostname or ""
        if not allowed:
            _refuse_private(url, _literal(host))
        connector = aiohttp.TCPConnector(resolver=_CheckedResolver(url, allowed=allowed), use_dns_cache=False)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False) as session,
            session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status in _REDIRECTS:
                return _redirect(url, answer.headers.get("Location", "")), 0, ""
            _check_status(url, answer.status)
            return None, *await self._save(url, answer, into)

    async def _save(self, url: str, answer: aiohttp.ClientResponse, into: Path) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with into.open("wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self._most_bytes:
                    raise _refused(url, f"it holds more than {self._most_bytes} bytes")
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        return size, f"sha256:{digest.hexdigest()}"


class _CheckedResolver(AbstractResolver):
    """Resolves a name once, and refuses it when any of its addresses is not public."""

    def __init__(self, url: str, *, allowed: bool) -> None:
        self._url = url
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        if not self._allowed:
            _refuse_private(self._url, (ipaddress.ip_address(entry[4][0]) for entry in found))
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """It keeps nothing open."""


def _literal(host: str) -> Iterable[_Address]:
    """The address that a host is in itself; connecting to one asks no resolver. `127.1` and `0x7f.1` are, too."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    try:
        return [ipaddress.ip_address(socket.inet_aton(host))]
    except OSError:
        return []


def _refuse_private(url: str, addresses: Iterable[_Address]) -> None:
    for address in addresses:
        if not public(address):
            raise _refused(url, f"its address {address} is not public, and the host is not in SLIPWAY_FETCH_ALLOW")


def public(address: _Address) -> bool:
    """Whether anybody on the internet could reach it: no loopback, private, link-local, metadata or embedded address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        return public(mapped)
    refused = any(address in network for network in _REFUSED_NETWORKS if network.version == address.version)
    return address.is_global and not address.is_multicast and not refused


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{(parts.hostname or '').lower()}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"


def _redirect(url: str, location: str) -> str:
    target = urljoin(url, location)
    if not location or urlsplit(target).scheme not in _DEFAULT_PORTS:
        raise _refused(url, "it redirects to no http or https URL")
    return target


_HINTS = {
    401: "it wants a sign-in; register a URL with a shared-access signature",
    403: "access is refused; a shared-access signature may have expired: register a URL with a fresh one",
    404: "there is nothing there",
    410: "there is nothing there any more",
}


def _check_status(url: str, status: int) -> None:
    if status >= 500 or status in (408, 429):
        raise _failure(url, f"its server answers {status}", retryable=True)
    if status != 200:
        raise _refused(url, f"{_HINTS.get(status, 'its server refuses')} ({status})")


def _refused(url: str, reason: str) -> BuildFailed:
    return _failure(url, reason, retryable=False)


def _unreachable(url: str, error: BaseException) -> ServiceError:
    cause: Any = error
    while cause is not None and not isinstance(cause, ServiceError):  # a resolver's refusal comes wrapped
        cause = cause.__cause__ or cause.__context__
    return cause or _failure(url, f"it cannot be reached ({type(error).__name__})", retryable=True)


def _failure(url: str, reason: str, *, retryable: bool) -> BuildFailed:
    return BuildFailed(f"{foreign(url)} cannot be fetched: {reason}.", code="SourceUnreachable", retryable=retryable)
