"""Garbage: what builds leave behind that no listed image, no model and no manifest needs any more."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from itertools import batched

from shared.domain.accounts import Account
from shared.domain.images import Image
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.ports import Clock, Collector, Needed, Store, Unneeded
from shared.resources.contents import content_claim, contents_of
from shared.resources.every import every

_logger = logging.getLogger(__name__)

_AT_ONCE = 32
SETTLED = timedelta(days=1)
"""Longer than any build takes: what is younger may belong to one that has not ended."""


class Garbage:
    """Collects it. A layer is kept for as long after its last use as `layers` says, a log without an image as `logs`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        accounts: Sequence[Account],
        collectors: Sequence[Collector],
        *,
        layers: timedelta,
        logs: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._collectors = collectors
        self._layers = layers
        self._logs = logs

    async def collect(self, *, dry_run: bool = False) -> Sequence[Unneeded]:
        """Remove what nobody needs; what it was. In a dry run nothing is removed."""
        needed, found = await self._needed(), list[Unneeded]()
        for collector in self._collectors:
            ones = [one async for one in collector.unneeded(needed)]
            for one in ones:
                _logger.info("%s %s %s, %d bytes", "would remove" if dry_run else "removes", one.kind, one.name, one.size)
                if not dry_run:
                    await collector.remove(one, needed)
            found += ones
        return found

    async def _needed(self) -> Needed:
        now = self._clock.now()
        images: dict[Account, frozenset[str]] = {}
        ids: set[tuple[Account, str]] = set()
        contents: set[str] = set()
        for account in self._accounts:
            listed = [image async for image in every(self._store, account, Image)]
            images[account] = frozenset(f"{image.name}:{image.version}" for image in listed)
            ids |= {(account, image.id) for image in listed}
            contents |= await self._contents(account)
        return Needed(images, frozenset(ids), frozenset(contents), now - SETTLED, now - self._layers, now - self._logs)

    async def _contents(self, account: Account) -> set[str]:
        owners = [model.id async for model in every(self._store, account, Model)]
        owners += [manifest.id async for manifest in every(self._store, account, Manifest)]
        digests: set[str] = set()
        for some in batched(owners, _AT_ONCE, strict=False):
            held = await asyncio.gather(*(self._store.held(account, content_claim(owner)) for owner in some))
            digests |= {content.digest for one in held if one for content in contents_of(one).values()}
        return digests
