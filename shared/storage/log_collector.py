"""Build logs of images that are listed no more."""

from collections.abc import AsyncIterator

from shared.domain.ports import Needed, Unneeded
from shared.storage.blobs import BlobAccount
from shared.storage.build_logs import CONTAINER, log_name
from shared.storage.failures import translated


class LogCollector:
    """The port Collector for build logs."""

    def __init__(self, blobs: BlobAccount) -> None:
        self._blobs = blobs

    async def unneeded(self, needed: Needed) -> AsyncIterator[Unneeded]:
        """Those whose time is over."""
        listed = {log_name(account, image_id) for account, image_id in needed.image_ids}
        with translated("list logs"):
            async for blob in (await self._blobs.container(CONTAINER)).list_blobs():
                if blob.name not in listed and blob.last_modified < needed.logs_since:
                    yield Unneeded("log", blob.name, blob.size)

    async def remove(self, one: Unneeded, needed: Needed) -> None:  # nothing adds to the log of an image that is gone
        """Remove it."""
        await self._blobs.remove(CONTAINER, one.name)
