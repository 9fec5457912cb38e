"""Blobs of the operator's own, which are read by the app's identity when their URL has no signature."""

from collections.abc import Collection
from urllib.parse import parse_qs, quote, unquote, urlsplit

from shared.storage.blobs import BlobAccount


class OwnBlobs:
    """Signs URLs of blobs in the containers that the operator names: whoever may register a model may read those."""

    def __init__(self, blobs: BlobAccount, containers: Collection[str]) -> None:
        self._blobs = blobs
        self._containers = frozenset(containers)

    async def signed(self, url: str) -> str:
        """The URL with a signature when it is one of those blobs and has none, as it is otherwise. Raises Unavailable."""
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}{parts.path}".removeprefix(f"{self._blobs.url}/")
        container, _, name = place.partition("/")
        if container not in self._containers or not name or "sig" in parse_qs(parts.query):
            return url
        _, _, signature = (await self._blobs.signed(container, unquote(name))).partition("?")
        return f"{self._blobs.url}/{container}/{quote(unquote(name))}?{signature}"
