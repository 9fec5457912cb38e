"""Where replicas are told that data goes, and the file in which what they may do with storage is renewed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from shared.domain.computing import CollectionGrants, CollectionTargets
from shared.domain.errors import ServiceError
from shared.domain.service_settings import ServiceSettings

_FILE = "storage"

_logger = logging.getLogger(__name__)


class Grants:
    """Of `targets`, storage is what `storage` grants, which is looked at again every so many seconds."""

    def __init__(self, targets: CollectionTargets, storage: CollectionGrants, every: float) -> None:
        self._targets = targets
        self._storage = storage
        self._every = every

    @asynccontextmanager
    async def kept_in(self, folder: Path, settings: ServiceSettings) -> AsyncIterator[CollectionTargets]:
        """What a replica with these settings is told at its start; storage's part is renewed in that folder meanwhile.

        Raises Unavailable.
        """
        collects = settings.data_collection is not None and settings.data_collection.storage_enabled
        first = await self._storage.current() if collects else ""
        if not first:
            yield replace(self._targets, storage="")
            return
        _write(folder / _FILE, first)
        renewing = asyncio.create_task(self._renew(folder / _FILE, first))
        try:
            yield replace(self._targets, storage=first)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, file: Path, held: str) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                current = await self._storage.current()
                if current != held:
                    _write(file, current)
                    held = current
            except (OSError, ServiceError) as error:
                _logger.warning("what a replica may do with storage was not renewed: %s", type(error).__name__)


def _write(file: Path, text: str) -> None:
    """As a whole: whoever reads it finds the one or the other."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)
