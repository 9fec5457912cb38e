"""Blob Storage: one client for all that is kept there, containers made at their first use, and URLs that read one blob."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.storage.connection import RETRIES, StorageConnection, transport
from shared.storage.failures import translated

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

_DAY = timedelta(days=1)
_EARLY = timedelta(minutes=5)  # clocks differ
_PIECE = 4 * 1024 * 1024
"""How much of a blob is in memory at once while it is read."""


class BlobAccount:
    """The storage account's blobs. The client is made when it is first needed, in the loop that needs it."""

    def __init__(self, connection: StorageConnection) -> None:
        self._connection = connection
        self._opening = asyncio.Lock()
        self._client: BlobServiceClient | None = None
        self._containers: set[str] = set()
        self._delegation: tuple[datetime, Any] | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return self._connection.blob

    async def container(self, name: str) -> "ContainerClient":
        """That container; it is there from now on. Raises Unavailable."""
        client = await self._ready()
        async with self._opening:
            if name not in self._containers:
                with translated("create container"):
                    await _create(client, name)
                self._containers.add(name)
        return client.get_container_client(name)

    async def blob(self, container: str, name: str) -> "BlobClient":
        """That blob, which need not be there, in a container that is."""
        return (await self.container(container)).get_blob_client(name)

    async def remove(self, container: str, name: str) -> None:
        """That blob is not there any more; harmless when it was not. Raises Unavailable."""
        blob = await self.blob(container, name)
        with translated("remove blob"), suppress(ResourceNotFoundError):
            await blob.delete_blob()

    async def signed(self, container: str, name: str) -> str:
        """A URL that reads that blob, good for a day from now."""
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas  # noqa: PLC0415  # a build's, not every call's

        now = datetime.now(UTC)
        key = None if self._connection.key else await self._delegation_key(now - _EARLY, now + _DAY, spare=_DAY)
        token = generate_blob_sas(
            self._connection.account,
            container,
            name,
            account_key=self._connection.key,
            user_delegation_key=key,
            permission=BlobSasPermissions(read=True),
            start=now - _EARLY,
            expiry=now + _DAY,
        )
        return f"{self.url}/{container}/{name}?{token}"

    async def adding_to(self, container: str, start: datetime, expiry: datetime) -> str:
        """A connection string that makes blobs in that container and appends to them, and does nothing else."""
        from azure.storage.blob import ContainerSasPermissions, generate_container_sas  # noqa: PLC0415

        token = generate_container_sas(
            self._connection.account,
            container,
            account_key=self._connection.key,
            user_delegation_key=None if self._connection.key else await self._delegation_key(start, expiry),
            permission=ContainerSasPermissions(add=True, create=True),
            start=start,
            expiry=expiry,
            protocol="https" if self.url.startswith("https:") else None,
        )
        return f"BlobEndpoint={self.url};SharedAccessSignature={token}"

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None
            self._containers.clear()

    async def _ready(self) -> "BlobServiceClient":
        from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415

        async with self._opening:
            if self._client is None:
                self._client = BlobServiceClient(
                    self._connection.blob,
                    credential=self._connection.credential(),
                    transport=transport(),
                    max_single_get_size=_PIECE,
                    max_chunk_get_size=_PIECE,
                    **RETRIES,
                )
            return self._client

    async def _delegation_key(self, start: datetime, until: datetime, spare: timedelta = timedelta()) -> Any:
        """A key that signs for the app's identity until then; it is asked for with time to spare, and kept meanwhile."""
        if self._delegation is None or self._delegation[0] < until:
            client = await self._ready()
            with translated("delegate"):
                key = await client.get_user_delegation_key(start, until + spare)
            self._delegation = (until + spare, key)
        return self._delegation[1]


async def _create(client: "BlobServiceClient", name: str) -> None:
    with suppress(ResourceExistsError):
        await client.create_container(name)
