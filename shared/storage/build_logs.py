"""Build logs on append blobs: written while a build runs, readable while it runs, by a URL that is good for a day."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.domain.accounts import Account
from shared.domain.errors import ServiceError, foreign
from shared.domain.ports import BuildLog
from shared.storage.blobs import BlobAccount
from shared.storage.failures import translated

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient

_logger = logging.getLogger(__name__)

CONTAINER = "build-logs"
_FLUSH_SECONDS = 0.5
_MOST_WAITING = 4 * 1024 * 1024
"""Bytes kept while storage is away."""
_APPEND = 512 * 1024
_LINE_LENGTH = 2000
_MOST_READ = 8 * 1024 * 1024


class _Buffer:
    """Lines on their way to the blob; filled from any thread. What does not fit is counted, and said in the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._lost = 0

    def line(self, text: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        first, *more = text.split("\n")
        # Only a first line begins with a time: what a text holds cannot pass for a line of its own.
        indented = "".join(f"  {foreign(line, _LINE_LENGTH)}\n" for line in more if line)
        lines = f"{now} {foreign(first, _LINE_LENGTH)}\n{indented}".encode()
        with self._lock:
            if len(self._waiting) + len(lines) > _MOST_WAITING - 200:
                self._lost += lines.count(b"\n")
            else:
                self._waiting += lines

    def take(self) -> bytes:
        with self._lock:
            if self._lost:
                self._waiting += f"… {self._lost} lines were lost while storage was away\n".encode()
                self._lost = 0
            taken = bytes(self._waiting[:_APPEND])
            del self._waiting[:_APPEND]
            return taken

    def give_back(self, taken: bytes) -> None:
        with self._lock:
            self._waiting[:0] = taken


class BlobBuildLogs:
    """One append blob an image, `build-logs/{account}/{image id}.log`."""

    def __init__(self, blobs: BlobAccount) -> None:
        self._blobs = blobs

    @asynccontextmanager
    async def writing(self, account: Account, image_id: str) -> AsyncIterator[BuildLog]:
        """That image's log, to add to; storage trouble loses lines, never the build."""
        buffer, finished = _Buffer(), asyncio.Event()
        flushing = asyncio.create_task(self._flush_until(finished, buffer, log_name(account, image_id)))
        try:
            yield buffer
        finally:
            finished.set()
            await flushing

    async def address(self, account: Account, image_id: str) -> str:
        """A URL that reads the log, good for a day from now."""
        return await self._blobs.signed(CONTAINER, log_name(account, image_id))

    async def read(self, account: Account, image_id: str) -> str:
        """What it says so far, its last 8 MiB when it is longer; empty when there is none."""
        blob = await self._blobs.blob(CONTAINER, log_name(account, image_id))
        with translated("read log"):
            try:
                size = (await blob.get_blob_properties()).size
                start = max(0, size - _MOST_READ)
                lines = await (await blob.download_blob(start, size - start)).readall() if size else b""
            except ResourceNotFoundError:
                return ""
        return (lines.partition(b"\n")[2] if start else lines).decode(errors="replace")

    async def _flush_until(self, finished: asyncio.Event, buffer: _Buffer, name: str) -> None:
        last = False
        while not last:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await finished.wait()
            last = finished.is_set()
            try:
                await self._flush(buffer, name)
            except ServiceError as error:  # the lines wait in the buffer, and the build goes on
                if last:
                    _logger.warning("The build log %s lacks its last lines: %s", name, error)

    async def _flush(self, buffer: _Buffer, name: str) -> None:
        while taken := buffer.take():
            try:
                await self._append(name, taken)
            except ServiceError:
                buffer.give_back(taken)
                raise

    async def _append(self, name: str, lines: bytes) -> None:
        blob = await self._blobs.blob(CONTAINER, name)
        with translated("write log"):
            try:
                await blob.append_block(lines)
            except ResourceNotFoundError:
                await _create(blob)
                await blob.append_block(lines)


async def _create(blob: "BlobClient") -> None:
    from azure.core import MatchConditions  # noqa: PLC0415
    from azure.storage.blob import ContentSettings  # noqa: PLC0415

    text = ContentSettings(content_type="text/plain; charset=utf-8")
    with suppress(ResourceExistsError):
        await blob.create_append_blob(content_settings=text, match_condition=MatchConditions.IfMissing)


def log_name(account: Account, image_id: str) -> str:
    """What the log of an image is called."""
    return f"{account.scope}/{image_id}.log"
