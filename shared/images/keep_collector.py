"""What is kept for builds, and which of it no build needs any more."""

from collections.abc import AsyncIterator

from shared.domain.ports import Keep, KeptBlob, Needed, Unneeded
from shared.images.content.source_layers import kept_name
from shared.images.packing.cache import PREFIX as LAYERS


class KeepCollector:
    """The port Collector for the keep: contents of what has gone, records of layers long unused, and what broke off."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    async def unneeded(self, needed: Needed) -> AsyncIterator[Unneeded]:
        """All of it."""
        contents = {kept_name(digest) for digest in needed.contents}
        async for one in self._keep.names(""):
            if _unneeded(one, needed, contents):
                yield Unneeded("kept", one.name, one.size)

    async def remove(self, one: Unneeded, needed: Needed) -> None:
        """Remove it, unless it has been used meanwhile."""
        contents = {kept_name(digest) for digest in needed.contents}
        async for now in self._keep.names(one.name):
            if now.name == one.name and _unneeded(now, needed, contents):
                await self._keep.remove(one.name)


def _unneeded(one: KeptBlob, needed: Needed, contents: set[str]) -> bool:
    if one.name.startswith(LAYERS):
        return one.used < needed.layers_used_since
    return one.used < needed.settled_before and one.name not in contents
