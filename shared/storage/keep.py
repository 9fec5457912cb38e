"""The operator's own keep, on block blobs: what was fetched, by its digest; locks; and what is known of layers."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.domain.errors import Unavailable
from shared.domain.ports import Incoming, KeptBlob
from shared.storage.blobs import BlobAccount
from shared.storage.failures import translated

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient

CONTAINER = "keep"
_INCOMING = "incoming"
_BLOCK = 4 * 1024 * 1024
_COPY_SECONDS = 1.0


class BlobKeep:
    """The port Keep on one container. Nothing is seen before it is whole: a blob appears when its blocks are committed."""

    def __init__(self, blobs: BlobAccount) -> None:
        self._blobs = blobs

    async def get(self, name: str) -> bytes | None:
        """Something small, or None."""
        blob = await self._blob(name)
        with translated("read keep"):
            try:
                return await (await blob.download_blob()).readall()
            except ResourceNotFoundError:
                return None

    async def put(self, name: str, content: bytes) -> None:
        """Keep something small, in the place of what was kept under that name."""
        blob = await self._blob(name)
        with translated("write keep"):
            await blob.upload_blob(content, overwrite=True)

    async def size(self, name: str) -> int | None:
        """How large it is, None when it is not there."""
        blob = await self._blob(name)
        with translated("look at keep"):
            return await _size(blob)

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from `start` on."""
        blob = await self._blob(name)
        with translated("read keep"):
            try:
                content = await blob.download_blob(offset=start if start or length else None, length=length)
                async for chunk in content.chunks():
                    yield chunk
            except ResourceNotFoundError as error:
                raise Unavailable(f"{name} is not kept any more.", code="NotKept") from error

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[Incoming]:
        """Something large, whose name is not known before its end."""
        coming = _Incoming(self._blobs, f"{_INCOMING}/{uuid4().hex}")
        try:
            yield coming
        finally:
            await coming.clear()

    async def names(self, prefix: str) -> AsyncIterator[KeptBlob]:
        """All that is kept under names that begin so, what was left behind on its way in included."""
        container = await self._blobs.container(CONTAINER)
        with translated("list keep"):
            async for found in container.list_blobs(name_starts_with=prefix):
                yield KeptBlob(found.name, found.size, found.last_modified)

    async def remove(self, name: str, *, unless_used_since: datetime | None = None) -> None:
        """It is not kept any more, unless it was put or kept again since then."""
        blob = await self._blob(name)
        with translated("remove keep"), suppress(ResourceNotFoundError, ResourceModifiedError):
            await blob.delete_blob(if_unmodified_since=unless_used_since)

    async def _blob(self, name: str) -> "BlobClient":
        return await self._blobs.blob(CONTAINER, name)


class _Incoming:
    """Blocks of a blob under a name of its own, which is copied to its name when that is known."""

    def __init__(self, blobs: BlobAccount, place: str) -> None:
        self._blobs = blobs
        self._place = place
        self._pending = bytearray()
        self._blocks: list[str] = []
        self._staging: asyncio.Task[None] | None = None
        self._committed = False

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._pending += chunk
        if len(self._pending) >= _BLOCK:
            await self._stage()

    async def keep_as(self, name: str) -> None:
        """All that was written is kept under that name; when something is already, that stays."""
        target = await self._blobs.blob(CONTAINER, name)
        with translated("write keep"):
            if await _size(target) is not None:
                await target.set_blob_metadata({})  # so that it counts as used now
                return
            await self._commit()
            await target.start_copy_from_url(await self._blobs.signed(CONTAINER, self._place))
            while (copy := (await target.get_blob_properties()).copy).status == "pending":  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(_COPY_SECONDS)
        if copy.status != "success":
            raise Unavailable(f"{name} could not be kept: the copy ended as {copy.status}.", code="NotKept")

    async def clear(self) -> None:
        """What was committed here is nobody's any more; uncommitted blocks go by themselves."""
        if self._staging is not None:
            self._staging.cancel()
        if self._committed:
            await self._blobs.remove(CONTAINER, self._place)

    async def _commit(self) -> None:
        from azure.storage.blob import BlobBlock  # noqa: PLC0415  # a build's, not every call's

        if self._pending:
            await self._stage()
        await self._staged()
        blob = await self._blobs.blob(CONTAINER, self._place)
        await blob.commit_block_list([BlobBlock(block_id=block) for block in self._blocks])
        self._committed = True

    async def _stage(self) -> None:
        """Send what is pending while more of it comes: one block is on its way at a time."""
        await self._staged()
        block = base64.b64encode(f"{len(self._blocks):08d}".encode()).decode()
        blob = await self._blobs.blob(CONTAINER, self._place)
        self._staging = asyncio.create_task(_send(blob, block, bytes(self._pending)))
        self._blocks.append(block)
        self._pending.clear()

    async def _staged(self) -> None:
        if self._staging is not None:
            await self._staging


async def _size(blob: "BlobClient") -> int | None:
    """How large it is, None when it is not there, whole: a copy that has broken off leaves an empty blob."""
    try:
        found = await blob.get_blob_properties()
    except ResourceNotFoundError:
        return None
    return found.size if found.copy.status in (None, "success") else None


async def _send(blob: "BlobClient", block: str, content: bytes) -> None:
    with translated("write keep"):
        await blob.stage_block(block, io.BytesIO(content), len(content))
