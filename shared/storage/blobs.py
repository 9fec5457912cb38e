"""Build logs on append blobs: written while a build runs, readable while it runs, by a URL that is good for a day."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.domain.accounts import Account
from shared.domain.errors import ServiceError, foreign
from shared.domain.ports import BuildLog
from shared.storage.connection import RETRIES, StorageConnection, transport
from shared.storage.failures import opened, translated

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient, BlobServiceClient

_logger = logging.getLogger(__name__)

CONTAINER = "build-logs"
_FLUSH_SECONDS = 0.5
_MOST_WAITING = 4 * 1024 * 1024
"""Bytes kept while storage is away."""
_APPEND = 512 * 1024
_LINE_LENGTH = 2000
_DAY = timedelta(days=1)


class _Buffer:
    """Lines on their way to the blob; filled from any thread. What does not fit is counted, and said in the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._lost = 0

    def line(self, text: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = "".join(f"{now} {foreign(line, _LINE_LENGTH)}\n" for line in text.splitlines() or [""]).encode()
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

    def __init__(self, connection: StorageConnection) -> None:
        self._connection = connection
        self._opening = asyncio.Lock()
        self._client: BlobServiceClient | None = None
        self._delegation: tuple[datetime, Any] | None = None

    @asynccontextmanager
    async def writing(self, account: Account, image_id: str) -> AsyncIterator[BuildLog]:
        """That image's log, to add to; storage trouble loses lines, never the build."""
        buffer, finished = _Buffer(), asyncio.Event()
        flushing = asyncio.create_task(self._flush_until(finished, buffer, _name(account, image_id)))
        try:
            yield buffer
        finally:
            finished.set()
            await flushing

    async def address(self, account: Account, image_id: str) -> str:
        """A URL that reads the log, good for a day from now."""
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas  # noqa: PLC0415  # a build's, not every call's

        now, name = datetime.now(UTC), _name(account, image_id)
        token = generate_blob_sas(
            self._connection.account,
            CONTAINER,
            name,
            account_key=self._connection.key,
            user_delegation_key=None if self._connection.key else await self._delegation_key(now),
            permission=BlobSasPermissions(read=True),
            start=now - timedelta(minutes=5),
            expiry=now + _DAY,
        )
        return f"{self._connection.blob}/{CONTAINER}/{name}?{token}"

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ready(self) -> "BlobServiceClient":
        from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415

        async with self._opening:
            if self._client is None:
                client = BlobServiceClient(
                    self._connection.blob, credential=self._connection.credential(), transport=transport(), **RETRIES
                )
                self._client = await opened(client, client.create_container(CONTAINER), "container")
            return self._client

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
        blob = (await self._ready()).get_blob_client(CONTAINER, name)
        with translated("write log"):
            try:
                await blob.append_block(lines)
            except ResourceNotFoundError:
                await _create(blob)
                await blob.append_block(lines)

    async def _delegation_key(self, now: datetime) -> Any:
        """A key that signs for the app's identity, kept until it is half spent."""
        if self._delegation is None or self._delegation[0] < now + _DAY:
            client = await self._ready()
            expiry = now + 2 * _DAY
            with translated("delegate"):
                key = await client.get_user_delegation_key(now - timedelta(minutes=5), expiry)
            self._delegation = (expiry, key)
        return self._delegation[1]


async def _create(blob: "BlobClient") -> None:
    from azure.core import MatchConditions  # noqa: PLC0415
    from azure.storage.blob import ContentSettings  # noqa: PLC0415

    text = ContentSettings(content_type="text/plain; charset=utf-8")
    with suppress(ResourceExistsError):
        await blob.create_append_blob(content_settings=text, match_condition=MatchConditions.IfMissing)


def _name(account: Account, image_id: str) -> str:
    return f"{account.scope}/{image_id}.log"
