"""Uploads: where they go on, how they end, and bodies that are there once. Source: OCI distribution specification 1.1."""

from collections.abc import AsyncIterator, Callable
from urllib.parse import urljoin, urlsplit

import aiohttp

from shared.domain.errors import Unavailable
from shared.registries.refusals import AWAY, corrupt

type Content = Callable[[], bytes | AsyncIterator[bytes]]
"""Begins to give a body's bytes, anew at each call."""


def following(location: str, answer: aiohttp.ClientResponse, otherwise: str = "") -> str:
    """Where an upload goes on: it is named from where the answer came from, which may be another host."""
    place = answer.headers.get("Location", "")
    if not place and not otherwise:
        raise corrupt(location, "it does not say where an upload goes.")
    return urljoin(str(answer.url), place) if place else otherwise


def closing(place: str, digest: str) -> str:
    """The address that ends an upload."""
    return f"{place}{'&' if urlsplit(place).query else '?'}digest={digest}"


def once(chunks: AsyncIterator[bytes]) -> Content:
    """The chunks, which there are once: a request that is to be sent again has failed."""
    given: list[AsyncIterator[bytes]] = [chunks]

    def give() -> AsyncIterator[bytes]:
        if not given:
            raise Unavailable("The registry asked for another sign-in in the middle of a blob.", code=AWAY)
        return given.pop()

    return give
