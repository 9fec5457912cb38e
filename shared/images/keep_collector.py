"""What is kept for builds, and which of it no build needs any more."""

from collections.abc import AsyncIterator
from datetime import datetime

from shared.domain.ports import Keep, Needed, Unneeded
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
            if one.name not in contents and one.used < _must_be_older_than(one.name, needed):
                yield Unneeded("kept", one.name, one.size)

    async def remove(self, one: Unneeded, needed: Needed) -> None:
        """Remove it, unless it has been used meanwhile."""
        await self._keep.remove(one.name, unless_used_since=_must_be_older_than(one.name, needed))


def _must_be_older_than(name: str, needed: Needed) -> datetime:
    return needed.layers_used_since if name.startswith(LAYERS) else needed.settled_before
