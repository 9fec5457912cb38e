"""The services of the storage account, asked whether they let the app in."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from shared.storage.connection import StorageConnection, transport
from shared.storage.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICES = ("tables", "queues", "blobs")


async def check_service(connection: StorageConnection, service: str) -> str:
    """The address of that service, which lists what it has. Raises Unavailable, and ServiceError when it refuses."""
    from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415  # each costs a cold start
    from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415
    from azure.storage.queue.aio import QueueServiceClient  # noqa: PLC0415

    kinds = {"tables": TableServiceClient, "queues": QueueServiceClient, "blobs": BlobServiceClient}
    addresses = {"tables": connection.table, "queues": connection.queue, "blobs": connection.blob}
    async with AsyncExitStack() as opened:
        credential: Any = connection.credential()
        if connection.key is None:
            await opened.enter_async_context(credential)
        client = kinds[service](addresses[service], credential=credential, transport=transport(), retry_total=0)
        await opened.enter_async_context(client)
        with translated(f"list {service} of {addresses[service]}"):
            async for _ in _listing(client, service):
                break
    return addresses[service]


def _listing(client: Any, service: str) -> "AsyncIterator[Any]":
    lists = {"tables": "list_tables", "queues": "list_queues", "blobs": "list_containers"}
    listing: AsyncIterator[Any] = getattr(client, lists[service])(results_per_page=1)
    return listing
